package castalia.workers.runtime;

import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.AllExchange;
import castalia.workers.exchange.FrameTag;
import castalia.workers.rank.TrainingRank;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** What all ranks compute together between two steps. */
final class Boundary {

    /** Parts of boundary frames: stored entries, digests, validation sums. */
    static final int ENTRIES = 0;
    static final int DIGEST = 1;
    static final int VALIDATION = 2;

    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private Boundary() {}

    private static FrameTag tag(TrainingRank rank, Membership member, int part) {
        return new FrameTag(FrameTag.Kind.STORED, member.fence().generation(),
                rank.scalars().step(), 0, 0, part);
    }

    /** Digest of the whole state. */
    static StateDigest digest(TrainingRank rank, Membership member) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment own = arena.allocate(16, 8);
            WorkerFrames.put(own, 0, rank.ownedDigest());
            StateDigest sum = StateDigest.ZERO;
            for (MemorySegment part : AllExchange.of(member.transport(),
                    tag(rank, member, DIGEST), own, _ -> 16, arena)) {
                sum = sum.plus(WorkerFrames.digest(part, 0));
            }
            return sum;
        }
    }

    /** Mean loss over the validation batches, the same whatever the ranks. */
    static double validate(
            TrainingRank rank, Membership member, WorkerParts.Validation validation,
            TrainingPlan plan) {
        int sums = plan.virtualRanks();
        int batches = validation.batches();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment own = arena.allocate(8L * sums * batches, 8);
            for (int b = 0; b < batches; b++) {
                MemorySegment.copy(rank.losses(validation.source(), b), 0, own, DOUBLE,
                        8L * sums * b, sums);
            }
            double[][] all = new double[batches][sums];
            for (MemorySegment part : AllExchange.of(member.transport(),
                    tag(rank, member, VALIDATION), own, _ -> own.byteSize(), arena)) {
                for (int i = 0; i < batches * sums; i++) {
                    all[i / sums][i % sums] += part.get(DOUBLE, 8L * i);
                }
            }
            double total = 0;
            for (double[] batch : all) {
                total += ReductionTree.sum(batch);
            }
            return total / ((double) plan.tokensPerStep() * batches);
        }
    }
}
