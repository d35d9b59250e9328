package castalia.protocol.model;

/**
 * The shape of a GPT-NeoX model.
 *
 * @param layers transformer blocks L
 * @param hidden width of the residual stream h
 * @param heads attention heads; {@code hidden} is a multiple of it
 * @param intermediate width of the feed-forward layer
 * @param vocabulary rows of the embedding and the head, padding included
 * @param maxPositions longest sequence
 * @param rotaryDimensions leading dimensions of each head that are rotated; even, 0 for none
 * @param rotaryBase base of the rotary frequencies
 * @param layerNormEpsilon added to the variance
 * @param parallelResidual true for {@code x + attention(ln1 x) + mlp(ln2 x)}
 * @param gelu form of the activation
 * @param publishedModelParallel m of the published run: a row-parallel bias is stored once and
 *     added m times, as each of GPT-NeoX's model-parallel ranks adds its own copy
 */
public record ModelShape(
        int layers,
        int hidden,
        int heads,
        int intermediate,
        int vocabulary,
        int maxPositions,
        int rotaryDimensions,
        double rotaryBase,
        double layerNormEpsilon,
        boolean parallelResidual,
        Gelu gelu,
        int publishedModelParallel) {

    /** The largest dimension accepted, so that products of two never overflow a {@code long}. */
    private static final int LARGEST = 1 << 24;

    private static final int MOST_LAYERS = 1 << 12;

    /** Most parameters: offsets stay far below 2^63, a checkpoint's chunks are countable. */
    private static final long MOST_PARAMETERS = 1L << 38;

    public ModelShape {
        positive("layers", layers, MOST_LAYERS);
        positive("hidden", hidden, LARGEST);
        positive("heads", heads, LARGEST);
        positive("intermediate", intermediate, LARGEST);
        positive("vocabulary", vocabulary, LARGEST);
        positive("maxPositions", maxPositions, LARGEST);
        if (hidden % heads != 0) {
            throw new IllegalArgumentException(
                    "hidden-size " + hidden + " is not a multiple of num-attention-heads " + heads);
        }
        int headDimension = hidden / heads;
        if (rotaryDimensions < 0 || rotaryDimensions > headDimension || rotaryDimensions % 2 != 0) {
            throw new IllegalArgumentException("rotary dimensions " + rotaryDimensions
                    + " must be even and between 0 and the head dimension " + headDimension);
        }
        if (!(rotaryBase > 1) || !Double.isFinite(rotaryBase)) {
            throw new IllegalArgumentException("rotary base " + rotaryBase + " must exceed 1");
        }
        if (!(layerNormEpsilon > 0) || !(layerNormEpsilon < 1)) {
            throw new IllegalArgumentException(
                    "layer norm epsilon " + layerNormEpsilon + " must lie between 0 and 1");
        }
        if (publishedModelParallel < 1
                || publishedModelParallel > 1024
                || Integer.bitCount(publishedModelParallel) != 1) {
            throw new IllegalArgumentException("published model-parallel degree "
                    + publishedModelParallel + " must be a power of two up to 1024");
        }
        double matrices = layers * (4.0 * hidden + 2.0 * intermediate) + 2.0 * vocabulary;
        if (matrices * hidden > MOST_PARAMETERS) {
            throw new IllegalArgumentException("the model would have more than "
                    + (long) (matrices * hidden) + " parameters; at most " + MOST_PARAMETERS
                    + " are possible");
        }
    }

    private static void positive(String name, int value, int largest) {
        if (value < 1 || value > largest) {
            throw new IllegalArgumentException(
                    name + " is " + value + "; it must lie between 1 and " + largest);
        }
    }

    /** Width of one head. */
    public int headDimension() {
        return hidden / heads;
    }

    /** Stored parameters: {@code L(12h^2 + 13h) + 2h + 2Vh} when the feed-forward is 4h wide. */
    public long parameters() {
        return NeoxParameters.of(this).stream().mapToLong(Parameter::elements).sum();
    }

    /**
     * Floating-point operations of a forward and backward pass: six per token and parameter outside the
     * embedding, and half of the full square of attention.
     *
     * @param tokens tokens of all sequences
     * @param sequence tokens of a sequence
     */
    public double trainingFlops(long tokens, int sequence) {
        double used = parameters() - (double) vocabulary * hidden;
        double attention = (double) layers * hidden * sequence;
        return 6.0 * tokens * (used + attention);
    }
}
