package castalia.workers.model;

import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.TensorMap;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.InverseNormal;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter;
import castalia.protocol.planner.Recomputation;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;

/**
 * A model with weights, tokens and gradients of its own, on a device of the caller. All tensors
 * are random, the vectors too; whole tensors do not depend on T, the device or the compute type.
 */
public final class TinyModel implements AutoCloseable {

    private final Device device;
    private final ModelPlan plan;
    private final TensorMap map;
    private final List<Parameter> parameters;
    private final java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared();
    private final Arena arena;
    private final MemorySegment master;
    private final Buffer uploaded;
    private final FlatViews weights;
    private final FlatViews gradients;
    private final NeoxModel model;
    private final Losses losses;
    private final MemorySegment inputs;
    private final MemorySegment labels;

    public TinyModel(Device device, ModelPlan plan, boolean backward) {
        this.device = device;
        this.plan = plan;
        this.map = new TensorMap(plan.layout());
        this.parameters = NeoxParameters.of(plan.shape());
        this.arena = device.arena();
        ChunkGrid grid = ChunkGrid.of(plan.layout());
        long elements = plan.layout().elements();
        this.master = host.allocate(4 * elements, 64);
        this.uploaded = arena.allocate(DType.F32, elements);
        this.weights = new FlatViews(grid, arena.allocate(plan.compute(), elements));
        this.gradients = new FlatViews(grid, arena.allocate(DType.F32, elements));
        this.model = new NeoxModel(plan, grid, device, weights, backward);
        this.losses = new Losses(plan, device, 1);
        this.inputs = host.allocate(4L * plan.rows(), 64);
        this.labels = host.allocate(4L * plan.rows(), 64);
        Random random = new Random(3);
        for (int i = 0; i < plan.rows(); i++) {
            inputs.setAtIndex(ValueLayout.JAVA_INT, i, random.nextInt(plan.shape().vocabulary()));
            labels.setAtIndex(ValueLayout.JAVA_INT, i, random.nextInt(plan.shape().vocabulary()));
        }
        for (Parameter parameter : parameters) {
            float[] values = new float[Math.toIntExact(parameter.elements())];
            for (int e = 0; e < values.length; e++) {
                values[e] = random(parameter, e);
            }
            set(parameter, values);
        }
    }

    /** One micro-batch in fp32 that keeps everything. */
    static ModelPlan plan(ModelShape shape, int tensorSlices, int batch, int sequence) {
        return new ModelPlan(FlatLayout.of(shape, tensorSlices), batch, sequence, DType.F32,
                Recomputation.NONE);
    }

    /** Two layers of width 24, 4 heads, sequences of up to 20. */
    static ModelShape shape(boolean parallelResidual, Gelu gelu, int publishedModelParallel) {
        return new ModelShape(2, 24, 4, 80, 102, 20, 4, 10000, 1e-5, parallelResidual, gelu,
                publishedModelParallel);
    }

    private float random(Parameter parameter, int element) {
        double normal = InverseNormal.value(17, parameters.indexOf(parameter), element);
        return switch (parameter.role()) {
            case LN1_WEIGHT, LN2_WEIGHT, FINAL_LN_WEIGHT -> (float) (1 + 0.2 * normal);
            case LN1_BIAS, LN2_BIAS, FINAL_LN_BIAS, QKV_BIAS, DENSE_BIAS, UP_BIAS, DOWN_BIAS ->
                    (float) (0.2 * normal);
            case EMBEDDING -> (float) normal;
            case QKV_WEIGHT, DENSE_WEIGHT, UP_WEIGHT, DOWN_WEIGHT, HEAD ->
                    (float) (normal / Math.sqrt(parameter.columns()));
        };
    }

    ModelPlan plan() {
        return plan;
    }

    NeoxModel model() {
        return model;
    }

    FlatViews weights() {
        return weights;
    }

    FlatViews gradients() {
        return gradients;
    }

    MemorySegment inputs() {
        return inputs;
    }

    MemorySegment labels() {
        return labels;
    }

    /** The tensors of a role, in the order of the layers. */
    List<Parameter> of(Role role) {
        return parameters.stream().filter(p -> p.role() == role).toList();
    }

    /** The master weights of a whole tensor. */
    float[] weights(Parameter parameter) {
        return gather(master, parameter);
    }

    /** Sets a whole tensor, rounded to the compute type where the model reads it. */
    void set(Parameter parameter, float[] values) {
        try {
            MemorySegment whole = host.allocate(4L * values.length, 64);
            MemorySegment.copy(values, 0, whole, ValueLayout.JAVA_FLOAT, 0, values.length);
            map.scatter(parameter, whole, master);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        device.upload(uploaded, master);
        device.kernels().cast(weights.flat(), uploaded, uploaded.elements());
    }

    /** Mean loss of the micro-batch; gradients of the mean loss are written or added. */
    double lossAndGradient(boolean accumulate) {
        model.lossAndGradient(
                gradients, inputs, labels, 1f / plan.rows(), accumulate, losses, 0);
        return sum() / plan.rows();
    }

    /** Mean loss of the micro-batch. */
    double loss() {
        return lossSum() / plan.rows();
    }

    /** Sum of the losses of the micro-batch. */
    double lossSum() {
        model.loss(inputs, labels, losses, 0);
        return sum();
    }

    private double sum() {
        losses.read();
        return losses.sum(0);
    }

    /** The gradient of a whole tensor. */
    float[] gradient(Parameter parameter) {
        MemorySegment flat = host.allocate(gradients.flat().segment().byteSize(), 64);
        device.download(flat, gradients.flat());
        return gather(flat, parameter);
    }

    /** Logits of some rows (rows, vocabulary). */
    float[] logits(int firstRow, int rows) {
        MemorySegment out = host.allocate(4L * rows * plan.shape().vocabulary(), 64);
        model.logits(out, inputs, firstRow, rows);
        return out.toArray(ValueLayout.JAVA_FLOAT);
    }

    private float[] gather(MemorySegment flat, Parameter parameter) {
        float[] whole = new float[Math.toIntExact(parameter.elements())];
        try {
            map.gather(FlatWeights.of(flat), parameter, 0, MemorySegment.ofArray(whole));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return whole;
    }

    /** Largest difference, relative to the largest magnitude of {@code expected}. */
    static double difference(float[] actual, float[] expected) {
        if (actual.length != expected.length) {
            return Double.POSITIVE_INFINITY;
        }
        double worst = 0;
        double largest = Double.MIN_NORMAL;
        for (int i = 0; i < actual.length; i++) {
            double difference = Math.abs((double) actual[i] - expected[i]);
            worst = Double.isNaN(difference) ? Double.POSITIVE_INFINITY
                    : Math.max(worst, difference);
            largest = Math.max(largest, Math.abs(expected[i]));
        }
        return worst / largest;
    }

    @Override
    public void close() {
        model.close();
        losses.close();
        arena.close();
        host.close();
    }
}
