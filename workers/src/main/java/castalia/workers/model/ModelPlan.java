package castalia.workers.model;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.MatmulShape;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.HeadSweep;
import castalia.protocol.specification.Precision;
import java.util.ArrayList;
import java.util.List;

/**
 * Sizes and products of one micro-batch: a function of the specification alone.
 *
 * @param layout the flat layout: shape and T
 * @param batch sequences B of a micro-batch
 * @param sequence tokens S of a sequence
 * @param compute compute type
 * @param recomputation what is kept for the backward pass
 * @param head how the head sweeps the rows
 */
public record ModelPlan(FlatLayout layout, int batch, int sequence, DType compute,
        Recomputation recomputation, HeadSweep head) {

    /** As a CPU computes it. */
    public ModelPlan(FlatLayout layout, int batch, int sequence, DType compute,
            Recomputation recomputation) {
        this(layout, batch, sequence, compute, recomputation, HeadSweep.OF_CPU);
    }

    /**
     * Refuses a device that cannot compute it.
     *
     * @throws CastaliaException saying why
     */
    public void requireOn(Device device) {
        if (slices() > device.mostPartials()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "a run of " + slices()
                    + " tensor slices cannot be computed by " + device.description()
                    + ", which takes up to " + device.mostPartials()
                    + "; set castalia: tensor-slices lower");
        }
    }

    /** How the head sweeps rows on a device. */
    public static HeadSweep headOf(Device device) {
        return device.inHostMemory() ? HeadSweep.OF_CPU : HeadSweep.OF_GPU;
    }

    /**
     * What decides the bits of a model's steps on a device, in one line: a run's numeric version. On a
     * GPU it names the head's sweeps too; a CPU's are in the revision of its kernels.
     */
    public static String numericVersion(Device device) {
        String kernels = device.numericVersion().id();
        HeadSweep head = headOf(device);
        return device.inHostMemory() ? kernels
                : kernels + "; head " + head.rows() + " rows in " + head.mostParts() + " parts";
    }

    public ModelPlan {
        if (batch < 1 || sequence < 1 || sequence > layout.shape().maxPositions()) {
            throw new IllegalArgumentException("micro-batch of " + batch + " sequences of "
                    + sequence + " tokens; the model has " + layout.shape().maxPositions()
                    + " positions");
        }
        if ((long) batch * sequence > Integer.MAX_VALUE / 4) {
            throw new IllegalArgumentException(
                    "a micro-batch of " + (long) batch * sequence + " tokens is too large");
        }
    }

    /** The compute type of a precision. */
    public static DType computeType(Precision precision) {
        return switch (precision) {
            case FP32 -> DType.F32;
            case BF16 -> DType.BF16;
            case FP16 -> DType.F16;
        };
    }

    public ModelShape shape() {
        return layout.shape();
    }

    /** T. */
    public int slices() {
        return layout.tensorSlices();
    }

    /** Tokens of a micro-batch. */
    public int rows() {
        return batch * sequence;
    }

    public int hidden() {
        return shape().hidden();
    }

    /** Heads of a tensor slice. */
    public int sliceHeads() {
        return shape().heads() / slices();
    }

    /** Attention width of a tensor slice. */
    public int sliceHidden() {
        return hidden() / slices();
    }

    /** Feed-forward width of a tensor slice. */
    public int sliceIntermediate() {
        return shape().intermediate() / slices();
    }

    /** Vocabulary rows of a tensor slice. */
    public int sliceVocabulary() {
        return shape().vocabulary() / slices();
    }

    /** Type of an input gradient's partials; with T = 1 the product itself rounds the sum. */
    public DType partialType() {
        return slices() == 1 ? compute : DType.F32;
    }

    public MatmulShape qkv() {
        return MatmulShape.forward(rows(), 3 * sliceHidden(), hidden(), compute, compute, true);
    }

    public MatmulShape up() {
        return MatmulShape.forward(rows(), sliceIntermediate(), hidden(), compute, compute, true);
    }

    public MatmulShape dense() {
        return MatmulShape.forward(rows(), hidden(), sliceHidden(), compute, DType.F32, false);
    }

    public MatmulShape down() {
        return MatmulShape.forward(
                rows(), hidden(), sliceIntermediate(), compute, DType.F32, false);
    }

    public MatmulShape qkvInput() {
        return MatmulShape.inputGradient(
                rows(), 3 * sliceHidden(), hidden(), compute, partialType());
    }

    public MatmulShape upInput() {
        return MatmulShape.inputGradient(
                rows(), sliceIntermediate(), hidden(), compute, partialType());
    }

    public MatmulShape denseInput() {
        return MatmulShape.inputGradient(rows(), hidden(), sliceHidden(), compute, compute);
    }

    public MatmulShape downInput() {
        return MatmulShape.inputGradient(rows(), hidden(), sliceIntermediate(), compute, compute);
    }

    public MatmulShape qkvWeight() {
        return weight(3 * sliceHidden(), hidden());
    }

    public MatmulShape upWeight() {
        return weight(sliceIntermediate(), hidden());
    }

    public MatmulShape denseWeight() {
        return weight(hidden(), sliceHidden());
    }

    public MatmulShape downWeight() {
        return weight(hidden(), sliceIntermediate());
    }

    private MatmulShape weight(int n, int k) {
        return MatmulShape.weightGradient(rows(), n, k, compute, DType.F32, false);
    }

    /** Parts of equal width in which the vocabulary of a slice is swept: a power of two. */
    public int headParts() {
        return head.parts(sliceVocabulary());
    }

    /** Vocabulary rows of a part. */
    public int headWidth() {
        return sliceVocabulary() / headParts();
    }

    /** Head products of a sweep over {@code rows} rows and one part of a slice. */
    public MatmulShape logits(int rows) {
        return MatmulShape.forward(rows, headWidth(), hidden(), compute, DType.F32, false);
    }

    /** Its input gradient; parts after a slice's first are added. */
    public MatmulShape headInput(int rows) {
        return MatmulShape.inputGradient(rows, headWidth(), hidden(), compute,
                headParts() == 1 ? partialType() : DType.F32);
    }

    public MatmulShape headWeight(int rows) {
        return MatmulShape.weightGradient(rows, headWidth(), hidden(), compute, DType.F32, false);
    }

    /** Rows of the head's sweeps: as many each, the last one what is left. */
    public int[] sweeps() {
        int count = head.sweeps(rows());
        int[] sweeps = new int[count];
        for (int i = 0; i < count; i++) {
            sweeps[i] = Math.min(head.rows(), rows() - i * head.rows());
        }
        return sweeps;
    }

    /** Every distinct product of a forward and backward pass. */
    public List<MatmulShape> products() {
        List<MatmulShape> all = new ArrayList<>(forwardProducts());
        all.addAll(List.of(qkvInput(), upInput(), denseInput(), downInput()));
        for (MatmulShape weight : List.of(qkvWeight(), upWeight(), denseWeight(), downWeight())) {
            all.add(weight);
            all.add(weight.accumulating());
        }
        for (int rows : sweeps()) {
            all.add(headInput(rows));
            if (headParts() > 1) {
                all.add(headInput(rows).accumulating());
            }
            all.add(headWeight(rows));
            all.add(headWeight(rows).accumulating());
        }
        return all.stream().distinct().toList();
    }

    /** Every distinct product of a forward pass. */
    public List<MatmulShape> forwardProducts() {
        List<MatmulShape> all =
                new ArrayList<>(List.of(qkv(), up(), dense(), down(), down().accumulating()));
        for (int rows : sweeps()) {
            all.add(logits(rows));
        }
        return all.stream().distinct().toList();
    }

    /** Floating-point operations of one forward and backward pass. */
    public long flops() {
        return (long) shape().trainingFlops(rows(), sequence);
    }
}
