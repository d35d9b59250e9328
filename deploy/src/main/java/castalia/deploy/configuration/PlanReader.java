package castalia.deploy.configuration;

import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.Problems.Problem;
import castalia.protocol.specification.ProblemsException;
import castalia.protocol.specification.TrainingPlan;
import java.util.List;
import java.util.Optional;

/** Reads batch, optimizer, schedule and precision, and joins them with the model. */
final class PlanReader {

    private final Findings findings;
    private final Settings top;
    private final Settings castalia;
    private final Optional<Settings> optimizer;
    private final Optional<Settings> optimizerParams;
    private final Optional<Settings> fp16;

    PlanReader(Findings findings, Settings top, Settings castalia) {
        this.findings = findings;
        this.top = top;
        this.castalia = castalia;
        this.optimizer = top.section("optimizer");
        this.optimizerParams = optimizer.flatMap(block -> block.section("params"));
        this.fp16 = top.section("fp16");
    }

    /** The plan for a model; empty, with errors recorded, if there is none. */
    Optional<TrainingPlan> plan(Optional<ModelShape> model, ModelReader modelReader) {
        int before = findings.errors();
        int sequence = top.requiredInteger("seq-length");
        long steps = trainSteps();
        Precision precision = precision();
        Optional<LossScaler> scaler = new ScalerReader(top, fp16).scaler(precision);
        Optional<LearningRateSchedule> schedule = schedule(steps);
        Optional<OptimizerSettings> settings = optimizer();
        Batch batch = batch();
        var initialisation = modelReader.initialisation();
        int slices = castalia.integer("tensor-slices", 1);
        long seed = top.longInteger("seed", 1234);
        boolean complete = model.isPresent() && settings.isPresent() && schedule.isPresent()
                && scaler.isPresent();
        if (findings.errors() > before || !complete) {
            return Optional.empty();
        }
        try {
            return Optional.of(TrainingPlan.builder(model.get(), schedule.get())
                    .tensorSlices(slices)
                    .virtualRanks(batch.virtualRanks())
                    .globalBatch(batch.global())
                    .microBatch(batch.micro())
                    .sequence(sequence)
                    .precision(precision)
                    .lossScaler(scaler.get())
                    .optimizer(settings.get())
                    .trainSteps(steps)
                    .seed(seed)
                    .initialisation(initialisation)
                    .build());
        } catch (ProblemsException e) {
            e.problems().forEach(this::place);
            return Optional.empty();
        }
    }

    /** Reports a problem of the plan at the key that caused it. */
    private void place(Problem problem) {
        String key = problem.where();
        if (key.equals("micro-batch") && !castalia.has(key)) {
            key = "train-micro-batch-size-per-gpu";
        }
        (top.has(key) ? top : castalia).error(key, problem.message());
    }

    long trainSteps() {
        if (!top.has("train-iters")) {
            top.error("train-iters", "is missing; add it");
        }
        return top.longInteger("train-iters", 1);
    }

    private record Batch(int global, int micro, int virtualRanks) {}

    private Batch batch() {
        int alias = top.integer("gas", 1);
        int gas = top.integer("gradient-accumulation-steps", alias);
        if (top.has("gas") && alias != gas) {
            top.error("gas", alias + " differs from gradient_accumulation_steps "
                    + gas + "; remove one of them");
        }
        boolean microGiven = top.has("train-micro-batch-size-per-gpu");
        int perGpu = microGiven
                ? top.integer("train-micro-batch-size-per-gpu", 1)
                : castalia.integer("micro-batch", 1);
        if (!microGiven && !castalia.has("micro-batch")) {
            top.error("train-micro-batch-size-per-gpu", "is missing; add it");
        }
        int micro = castalia.integer("micro-batch", perGpu);
        long perReplica = (long) perGpu * gas;
        if (perGpu < 1 || gas < 1 || perReplica > Integer.MAX_VALUE) {
            top.error("train-micro-batch-size-per-gpu", "micro-batch " + perGpu + " times "
                    + gas + " accumulation steps is no batch size");
            perReplica = 1;
        }
        int global = globalBatch((int) perReplica);
        boolean divides = global % perReplica == 0;
        if (!divides && !castalia.has("virtual-ranks")) {
            castalia.error("virtual-ranks", "is missing, and the global batch " + global
                    + " is no multiple of micro-batch times accumulation steps " + perReplica
                    + "; add castalia: virtual-ranks");
        }
        int fallback = divides ? (int) (global / perReplica) : 1;
        return new Batch(global, micro, castalia.integer("virtual-ranks", fallback));
    }

    private int globalBatch(int perReplica) {
        boolean trainBatch = top.has("train-batch-size");
        int published = top.integer("train-batch-size", perReplica);
        int global = castalia.integer("global-batch", published);
        if (trainBatch && global != published) {
            castalia.error("global-batch", global + " differs from train_batch_size " + published
                    + "; remove one of them");
        }
        if (!trainBatch && !castalia.has("global-batch")) {
            castalia.warning("global-batch", "is not given, nor is train_batch_size; "
                    + perReplica + " sequences, those of one GPU, are used."
                    + " The published Pythia runs used 1024");
        }
        return global;
    }

    private double peakRate() {
        if (optimizerParams.isPresent()) {
            return optimizerParams.get().requiredNumber("lr");
        }
        top.error("optimizer", "must have type Adam and params: lr; add them");
        return 1;
    }

    private Optional<OptimizerSettings> optimizer() {
        double first = 0.9;
        double second = 0.999;
        double epsilon = 1e-8;
        if (optimizer.isPresent()) {
            String type = optimizer.get().text("type").orElse("Adam");
            if (!type.equalsIgnoreCase("adam")) {
                optimizer.get().error("type", "must be Adam, not '" + type + "'");
            }
            Leftovers.refuse(optimizer.get());
        }
        if (optimizerParams.isPresent()) {
            Settings params = optimizerParams.get();
            List<Double> betas = params.numbers("betas");
            if (betas.size() == 2) {
                first = betas.get(0);
                second = betas.get(1);
            } else if (params.has("betas")) {
                params.error("betas", "must be two numbers");
            }
            epsilon = params.number("eps", epsilon);
            Leftovers.refuse(params);
        }
        double decay = defaulted("weight-decay", 0.1, "0.01");
        double clip = defaulted("gradient-clipping", 1.0, "0, no clipping");
        try {
            return Optional.of(new OptimizerSettings(first, second, epsilon, decay, clip));
        } catch (IllegalArgumentException e) {
            String message = String.valueOf(e.getMessage());
            if (decay < 0 || clip < 0) {
                top.error(decay < 0 ? "weight-decay" : "gradient-clipping", message);
            } else {
                boolean epsilonFits = epsilon > 0 && epsilon < 1;
                optimizerParams.orElse(top).error(epsilonFits ? "betas" : "eps", message);
            }
            return Optional.empty();
        }
    }

    private double defaulted(String key, double fallback, String before) {
        if (!top.has(key)) {
            top.warning(key, "is not given; " + fallback + " is used, as GPT-NeoX does today"
                    + " (v1.0: " + before + ")");
        }
        return top.number(key, fallback);
    }

    private Optional<LearningRateSchedule> schedule(long steps) {
        double peak = peakRate();
        String style = top.word("lr-decay-style", "linear", List.of("cosine", "constant"));
        List<String> names = List.of(
                LearningRateSchedule.NeoxV1.NAME,
                LearningRateSchedule.NeoxCurrent.NAME,
                LearningRateSchedule.Constant.NAME);
        String fallback = style.equals("constant")
                ? LearningRateSchedule.Constant.NAME
                : LearningRateSchedule.NeoxV1.NAME;
        String name = castalia.word("schedule", fallback, names);
        if (!top.has("lr-decay-style") && !castalia.has("schedule")) {
            top.error("lr-decay-style", "is missing; add cosine or constant"
                    + " (GPT-NeoX's default, linear, is not offered)");
        }
        long decay = top.longInteger("lr-decay-iters", steps);
        double warmup = top.number("warmup", 0.01) * decay;
        double floor = top.number("min-lr", 0);
        try {
            return Optional.of(switch (name) {
                case LearningRateSchedule.NeoxCurrent.NAME ->
                        new LearningRateSchedule.NeoxCurrent(peak, floor, warmup, decay);
                case LearningRateSchedule.Constant.NAME ->
                        new LearningRateSchedule.Constant(peak, warmup);
                default -> new LearningRateSchedule.NeoxV1(peak, floor, warmup, decay);
            });
        } catch (IllegalArgumentException e) {
            String message = String.valueOf(e.getMessage());
            if (!(peak > 0)) {
                optimizerParams.orElse(top).error("lr", message);
            } else {
                boolean floorFits = floor >= 0 && floor <= peak;
                top.error(!floorFits ? "min-lr" : decay < 1 ? "lr-decay-iters" : "warmup", message);
            }
            return Optional.empty();
        }
    }

    /** The compute type: castalia's, else that of the blocks fp16 and bf16, else precision. */
    private Precision precision() {
        Optional<Settings> bf16 = top.section("bf16");
        boolean brain = fp16.flatMap(s -> s.text("type")).orElse("").equals("bfloat16");
        boolean half = fp16.isPresent() && fp16.get().flag("enabled", false) && !brain;
        brain |= bf16.isPresent() && bf16.get().flag("enabled", false);
        bf16.ifPresent(Leftovers::refuse);
        List<String> names = List.of("fp32", "bf16", "bfloat16", "fp16");
        String named = top.word("precision", half ? "fp16" : brain ? "bf16" : "fp32", names);
        String chosen = castalia.word("precision", named, names);
        if (castalia.has("precision")) {
            return precision(chosen);
        }
        Precision precision = precision(named);
        if (half && brain) {
            top.error("fp16", "is enabled, and so is bf16; disable one of them");
        } else if (brain && precision != Precision.BF16) {
            top.error("precision", "is " + named + ", but another block of the file enables bf16");
        } else if (half && precision != Precision.FP16) {
            top.error("precision", "is " + named + ", but another block of the file enables fp16");
        }
        return precision;
    }

    private static Precision precision(String name) {
        return switch (name) {
            case "fp16" -> Precision.FP16;
            case "fp32" -> Precision.FP32;
            default -> Precision.BF16;
        };
    }
}
