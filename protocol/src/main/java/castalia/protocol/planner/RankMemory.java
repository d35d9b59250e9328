package castalia.protocol.planner;

/**
 * Bytes of memory of one rank, part by part. Parameters are counted with the padding of their chunks.
 *
 * @param weights weights in the compute type that stay: those the rank computes with and those it owns
 *     for others, where these are no master weights
 * @param windows where weights in the compute type are fetched to, a few layers at a time (ZeRO 3)
 * @param gradients fp32 gradients: buffers in which virtual ranks are folded, sums of what others send,
 *     finished gradients that are received
 * @param owned master weights and both moments of the chunks owned; in fp32 without master weights that
 *     the rank computes with, which are among {@code weights}
 * @param further those of chunks held besides, as buddy or, in ZeRO 0, as everybody
 * @param activations everything a micro-batch needs
 * @param transport most bytes of frames that came before they were waited for, and of votes
 */
public record RankMemory(
        long weights,
        long windows,
        long gradients,
        long owned,
        long further,
        long activations,
        long transport) {

    /** What the arenas of the rank's device allocate. */
    public long arenas() {
        return weights + windows + gradients + owned + further + activations;
    }

    /** Everything. */
    public long total() {
        return arenas() + transport;
    }
}
