package castalia.kernels;

/**
 * The scalars of one AdamW update. All are fp32 and computed once per step by the caller, so that
 * every holder of a chunk computes the same bits.
 *
 * @param gradientFactor what each gradient element is multiplied with first
 * @param learningRate step size
 * @param beta1 decay of the first moment
 * @param beta2 decay of the second moment
 * @param epsilon added to the root of the second moment
 * @param weightDecay decoupled decay; 0 for chunks that do not decay
 * @param inverseCorrection1 {@code 1 / (1 - beta1^n)}
 * @param inverseCorrection2 {@code 1 / (1 - beta2^n)}
 */
public record AdamW(
        float gradientFactor,
        float learningRate,
        float beta1,
        float beta2,
        float epsilon,
        float weightDecay,
        float inverseCorrection1,
        float inverseCorrection2) {}
