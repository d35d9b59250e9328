package castalia.protocol.control;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.List;
import java.util.Optional;

/**
 * What a worker holds, said in answer to a query. By answering for {@code fence} it promises: an
 * update it had begun is finished, and no frame or message of an older fence is acted on any more.
 *
 * @param fence the generation asked for
 * @param worker who reports
 * @param scalars the scalar state its chunks are at; empty if it never held any state
 * @param chunks what it holds, ascending by chunk
 * @param weights version of its complete set of compute weights, or -1
 * @param slices tensor slices of which it has those weights
 * @param committed the last step it knows to be committed
 */
public record HolderReport(
        Fence fence,
        Incarnation worker,
        Optional<ScalarState> scalars,
        List<Held> chunks,
        long weights,
        SliceBlock slices,
        Optional<Committed> committed) {

    public HolderReport {
        chunks = List.copyOf(chunks);
        if (weights < -1) {
            throw new IllegalArgumentException("weights of version " + weights);
        }
    }

    /**
     * One chunk.
     *
     * @param chunk index in the grid
     * @param version version of weights and moments
     * @param gradient whether the finished gradient of step {@code version} is held too
     * @param digest digest of weights and moments
     */
    public record Held(int chunk, long version, boolean gradient, StateDigest digest) {
        public Held {
            if (chunk < 0 || version < 0) {
                throw new IllegalArgumentException(
                        "chunk " + chunk + " at version " + version);
            }
        }
    }
}
