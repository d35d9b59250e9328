package castalia.protocol.planner;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import java.util.function.IntConsumer;

/** The ranks that compute with a chunk, ascending: every {@code stride}-th from the first. */
record Users(int first, int stride, int end) {

    static Users of(Placement placement, Chunk chunk) {
        int t = placement.layout().tensorParallel();
        int end = placement.layout().ranks();
        return chunk.slice() < 0
                ? new Users(0, 1, end)
                : new Users(chunk.slice() / (placement.tensorSlices() / t), t, end);
    }

    boolean contains(int rank) {
        return rank < end && rank % stride == first % stride;
    }

    void forEach(IntConsumer each) {
        for (int rank = first; rank < end; rank += stride) {
            each.accept(rank);
        }
    }

    /** Everybody who holds the chunk, the owner first: as {@link Placement#holders}. */
    void forEachHolder(Placement placement, int chunk, IntConsumer each) {
        int owner = placement.owner(chunk);
        boolean all = placement.layout().zero() == 0;
        each.accept(owner);
        for (int k = 0; k < ParallelLayout.MOST_BUDDIES; k++) {
            int buddy = placement.buddy(k, chunk);
            if (buddy != Placement.NONE && !(all && contains(buddy))) {
                each.accept(buddy);
            }
        }
        if (all) {
            forEach(user -> {
                if (user != owner) {
                    each.accept(user);
                }
            });
        }
    }
}
