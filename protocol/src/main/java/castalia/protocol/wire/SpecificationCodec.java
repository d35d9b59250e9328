package castalia.protocol.wire;

import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.wire.generated.SpecificationProtos.DataEntryMessage;
import castalia.protocol.wire.generated.SpecificationProtos.GeluCode;
import castalia.protocol.wire.generated.SpecificationProtos.InitialisationMessage;
import castalia.protocol.wire.generated.SpecificationProtos.LossScalerMessage;
import castalia.protocol.wire.generated.SpecificationProtos.ModelShapeMessage;
import castalia.protocol.wire.generated.SpecificationProtos.OptimizerMessage;
import castalia.protocol.wire.generated.SpecificationProtos.PrecisionCode;
import castalia.protocol.wire.generated.SpecificationProtos.RunSpecificationMessage;
import castalia.protocol.wire.generated.SpecificationProtos.ScheduleMessage;
import com.google.protobuf.ByteString;
import java.util.HexFormat;
import java.util.List;

/** Run specifications between record and message; wrong values are IllegalArgumentExceptions. */
final class SpecificationCodec {

    static final int FORMAT = 1;

    private static final String SMALL_INIT = "small_init";
    private static final String WANG_INIT = "wang_init";
    private static final String NORMAL = "normal";
    private static final String SCALED_NORMAL = "scaled_normal";

    private SpecificationCodec() {}

    static RunSpecificationMessage message(RunSpecification specification) {
        RunSpecificationMessage.Builder message = RunSpecificationMessage.newBuilder()
                .setFormat(FORMAT)
                .setModel(model(specification.model()))
                .setTensorSlices(specification.tensorSlices())
                .setVirtualRanks(specification.virtualRanks())
                .setGlobalBatch(specification.globalBatch())
                .setMicroBatch(specification.microBatch())
                .setSequence(specification.sequence())
                .setPrecision(precision(specification.precision()))
                .setOptimizer(optimizer(specification.optimizer()))
                .setSchedule(schedule(specification.schedule()))
                .setLossScaler(lossScaler(specification.lossScaler()))
                .setTrainSteps(specification.trainSteps())
                .setSeed(specification.seed())
                .setInitialisation(initialisation(specification.initialisation()))
                .setNumericVersion(specification.numericVersion());
        for (DataManifest.Entry entry : specification.data().entries()) {
            message.addData(DataEntryMessage.newBuilder()
                    .setName(entry.name())
                    .setValue(entry.value()));
        }
        return message.build();
    }

    static RunSpecification record(RunSpecificationMessage message) {
        TrainingPlan plan = new TrainingPlan(
                model(message.getModel()),
                message.getTensorSlices(),
                message.getVirtualRanks(),
                message.getGlobalBatch(),
                message.getMicroBatch(),
                message.getSequence(),
                precision(message.getPrecision()),
                optimizer(message.getOptimizer()),
                schedule(message.getSchedule()),
                lossScaler(message.getLossScaler()),
                message.getTrainSteps(),
                message.getSeed(),
                initialisation(message.getInitialisation()));
        List<DataManifest.Entry> entries = message.getDataList().stream()
                .map(e -> new DataManifest.Entry(e.getName(), e.getValue()))
                .toList();
        return new RunSpecification(
                plan, new DataManifest(entries), message.getNumericVersion());
    }

    private static ModelShapeMessage model(ModelShape shape) {
        return ModelShapeMessage.newBuilder()
                .setLayers(shape.layers())
                .setHidden(shape.hidden())
                .setHeads(shape.heads())
                .setIntermediate(shape.intermediate())
                .setVocabulary(shape.vocabulary())
                .setMaxPositions(shape.maxPositions())
                .setRotaryDimensions(shape.rotaryDimensions())
                .setRotaryBase(shape.rotaryBase())
                .setLayerNormEpsilon(shape.layerNormEpsilon())
                .setParallelResidual(shape.parallelResidual())
                .setGelu(switch (shape.gelu()) {
                    case ERF -> GeluCode.GELU_ERF;
                    case TANH -> GeluCode.GELU_TANH;
                })
                .setPublishedModelParallel(shape.publishedModelParallel())
                .build();
    }

    private static ModelShape model(ModelShapeMessage message) {
        return new ModelShape(
                message.getLayers(),
                message.getHidden(),
                message.getHeads(),
                message.getIntermediate(),
                message.getVocabulary(),
                message.getMaxPositions(),
                message.getRotaryDimensions(),
                message.getRotaryBase(),
                message.getLayerNormEpsilon(),
                message.getParallelResidual(),
                switch (message.getGelu()) {
                    case GELU_ERF -> Gelu.ERF;
                    case GELU_TANH -> Gelu.TANH;
                    case GELU_UNKNOWN, UNRECOGNIZED -> throw unknown("gelu");
                },
                message.getPublishedModelParallel());
    }

    private static PrecisionCode precision(Precision precision) {
        return switch (precision) {
            case FP32 -> PrecisionCode.PRECISION_FP32;
            case BF16 -> PrecisionCode.PRECISION_BF16;
            case FP16 -> PrecisionCode.PRECISION_FP16;
        };
    }

    private static Precision precision(PrecisionCode code) {
        return switch (code) {
            case PRECISION_FP32 -> Precision.FP32;
            case PRECISION_BF16 -> Precision.BF16;
            case PRECISION_FP16 -> Precision.FP16;
            case PRECISION_UNKNOWN, UNRECOGNIZED -> throw unknown("precision");
        };
    }

    private static OptimizerMessage optimizer(OptimizerSettings settings) {
        return OptimizerMessage.newBuilder()
                .setBeta1(settings.beta1())
                .setBeta2(settings.beta2())
                .setEpsilon(settings.epsilon())
                .setWeightDecay(settings.weightDecay())
                .setClip(settings.clip())
                .build();
    }

    private static OptimizerSettings optimizer(OptimizerMessage message) {
        return new OptimizerSettings(
                message.getBeta1(),
                message.getBeta2(),
                message.getEpsilon(),
                message.getWeightDecay(),
                message.getClip());
    }

    private static ScheduleMessage schedule(LearningRateSchedule schedule) {
        ScheduleMessage.Builder message = ScheduleMessage.newBuilder()
                .setName(schedule.name())
                .setPeak(schedule.peak())
                .setWarmup(schedule.warmup());
        return switch (schedule) {
            case LearningRateSchedule.NeoxV1(_, double floor, _, long decay) ->
                    message.setFloor(floor).setDecay(decay).build();
            case LearningRateSchedule.NeoxCurrent(_, double floor, _, long decay) ->
                    message.setFloor(floor).setDecay(decay).build();
            case LearningRateSchedule.Constant _ -> message.build();
        };
    }

    private static LearningRateSchedule schedule(ScheduleMessage m) {
        return switch (m.getName()) {
            case LearningRateSchedule.NeoxV1.NAME -> new LearningRateSchedule.NeoxV1(
                    m.getPeak(), m.getFloor(), m.getWarmup(), m.getDecay());
            case LearningRateSchedule.NeoxCurrent.NAME -> new LearningRateSchedule.NeoxCurrent(
                    m.getPeak(), m.getFloor(), m.getWarmup(), m.getDecay());
            case LearningRateSchedule.Constant.NAME ->
                    new LearningRateSchedule.Constant(m.getPeak(), m.getWarmup());
            default -> throw unknown("schedule");
        };
    }

    private static LossScalerMessage lossScaler(LossScaler scaler) {
        LossScalerMessage.Builder message = LossScalerMessage.newBuilder();
        return switch (scaler) {
            case LossScaler.None() -> message
                    .setNone(LossScalerMessage.NoScaling.getDefaultInstance())
                    .build();
            case LossScaler.Dynamic(double initial, long window, double minimum, int hysteresis) ->
                    message.setDynamic(LossScalerMessage.DynamicScaling.newBuilder()
                                    .setInitialScale(initial)
                                    .setWindow(window)
                                    .setMinimum(minimum)
                                    .setHysteresis(hysteresis))
                            .build();
            case LossScaler.Fixed(double scale) -> message
                    .setFixed(LossScalerMessage.FixedScaling.newBuilder().setScale(scale))
                    .build();
        };
    }

    private static LossScaler lossScaler(LossScalerMessage message) {
        return switch (message.getKindCase()) {
            case NONE -> new LossScaler.None();
            case DYNAMIC -> new LossScaler.Dynamic(
                    message.getDynamic().getInitialScale(),
                    message.getDynamic().getWindow(),
                    message.getDynamic().getMinimum(),
                    message.getDynamic().getHysteresis());
            case FIXED -> new LossScaler.Fixed(message.getFixed().getScale());
            case KIND_NOT_SET -> throw unknown("loss scaler");
        };
    }

    private static InitialisationMessage initialisation(Initialisation initialisation) {
        InitialisationMessage.Builder message = InitialisationMessage.newBuilder();
        return switch (initialisation) {
            case Initialisation.Drawn(var matrices, var outputs) -> message
                    .setDrawn(InitialisationMessage.Drawn.newBuilder()
                            .setMatrices(rule(matrices))
                            .setOutputs(rule(outputs)))
                    .build();
            case Initialisation.FromFolder(String sha256) -> message
                    .setFolderSha256(ByteString.copyFrom(HexFormat.of().parseHex(sha256)))
                    .build();
        };
    }

    private static Initialisation initialisation(InitialisationMessage message) {
        return switch (message.getKindCase()) {
            case DRAWN -> new Initialisation.Drawn(
                    rule(message.getDrawn().getMatrices()), rule(message.getDrawn().getOutputs()));
            case FOLDER_SHA256 -> new Initialisation.FromFolder(
                    HexFormat.of().formatHex(message.getFolderSha256().toByteArray()));
            case KIND_NOT_SET -> throw unknown("initialisation");
        };
    }

    private static InitialisationMessage.Rule rule(Initialisation.Rule rule) {
        InitialisationMessage.Rule.Builder message = InitialisationMessage.Rule.newBuilder();
        return switch (rule) {
            case Initialisation.SmallInit() -> message.setName(SMALL_INIT).build();
            case Initialisation.WangInit() -> message.setName(WANG_INIT).build();
            case Initialisation.Normal(double std) -> message.setName(NORMAL).setStd(std).build();
            case Initialisation.ScaledNormal(double std) ->
                    message.setName(SCALED_NORMAL).setStd(std).build();
        };
    }

    private static Initialisation.Rule rule(InitialisationMessage.Rule message) {
        return switch (message.getName()) {
            case SMALL_INIT -> new Initialisation.SmallInit();
            case WANG_INIT -> new Initialisation.WangInit();
            case NORMAL -> new Initialisation.Normal(message.getStd());
            case SCALED_NORMAL -> new Initialisation.ScaledNormal(message.getStd());
            default -> throw unknown("initialisation rule");
        };
    }

    private static IllegalArgumentException unknown(String what) {
        return new IllegalArgumentException("the " + what + " is missing or unknown to this build");
    }
}
