package castalia.workers.runtime;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.FrameTag;
import castalia.workers.rank.TrainingRank;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;

/**
 * Sends learners what they are to learn: base copies at boundaries, as many as a budget and the
 * connection's queue allow, and then every committed gradient. A learner that is too slow for
 * gradients is given up; nothing here waits.
 */
final class Feeder {

    /** Parts of frames of state: a chunk, or what is stored of a step. */
    static final int CHUNK = 0;
    static final int STORED = 1;

    private static final long BYTES_PER_BOUNDARY = 64L << 20;

    private final DataPlane plane;
    private final List<Pupil> pupils = new ArrayList<>();

    /** One learner. */
    private static final class Pupil {
        final Fence fence;
        final Member member;
        final Queue<Integer> waiting;
        final List<Integer> fed = new ArrayList<>();

        Pupil(CoordinatorMessage.Feed feed) {
            this.fence = feed.fence();
            this.member = feed.learner();
            this.waiting = new ArrayDeque<>(feed.chunks());
        }
    }

    Feeder(DataPlane plane) {
        this.plane = plane;
    }

    /** Begins to feed a learner. */
    void begin(CoordinatorMessage.Feed feed, List<StoredSteps.Step> unpublished) {
        Pupil pupil = new Pupil(feed);
        pupils.add(pupil);
        unpublished.forEach(step -> stored(pupil, step));
    }

    /** The generation is over. */
    void end() {
        pupils.clear();
    }

    /** Whether base copies still wait to be sent. */
    boolean busy() {
        return pupils.stream().anyMatch(pupil -> !pupil.waiting.isEmpty());
    }

    /** Tells learners of a stored step. */
    void stored(StoredSteps.Step step) {
        pupils.forEach(pupil -> stored(pupil, step));
    }

    private void stored(Pupil pupil, StoredSteps.Step step) {
        try (Arena arena = Arena.ofConfined()) {
            plane.offer(pupil.fence, pupil.member,
                    tag(FrameTag.Kind.STATE, pupil, step.scalars().step(), 0, STORED),
                    StoredSteps.encode(step, arena));
        }
    }

    /** At a boundary: sends further base copies. */
    void boundary(TrainingRank rank) {
        if (pupils.isEmpty()) {
            return;
        }
        long left = BYTES_PER_BOUNDARY;
        ScalarState scalars = rank.scalars();
        HeldChunks held = rank.held();
        for (Pupil pupil : pupils) {
            while (left > 0 && !pupil.waiting.isEmpty()) {
                int chunk = pupil.waiting.element();
                if (!base(pupil, chunk, scalars, rank)) {
                    break;
                }
                pupil.waiting.remove();
                pupil.fed.add(chunk);
                left -= 3 * held.weight(chunk).segment().byteSize();
            }
        }
    }

    private boolean base(Pupil pupil, int chunk, ScalarState scalars, TrainingRank rank) {
        HeldChunks held = rank.held();
        try (Arena arena = Arena.ofConfined()) {
            return plane.offer(pupil.fence, pupil.member,
                    tag(FrameTag.Kind.STATE, pupil, scalars.step(), chunk, CHUNK),
                    WorkerFrames.state(scalars, held.digest(chunk), arena),
                    rank.bytes().inHost(held.weight(chunk), arena),
                    rank.bytes().inHost(held.firstMoment(chunk), arena),
                    rank.bytes().inHost(held.secondMoment(chunk), arena));
        }
    }

    /**
     * Between a verdict and its update: sends the gradients of chunks that were sent before. That
     * the generation is over is no reason not to update.
     */
    void committed(TrainingRank rank, Verdict.Outcome verdict) {
        try {
            pupils.removeIf(pupil -> !pupil.fed.stream()
                    .allMatch(chunk -> update(pupil, chunk, rank, verdict)));
        } catch (AbandonedException e) {
            end();
        }
    }

    private boolean update(Pupil pupil, int chunk, TrainingRank rank, Verdict.Outcome verdict) {
        ScalarState before = rank.scalars();
        StateDigest digest = rank.held().digest(chunk);
        try (Arena arena = Arena.ofConfined()) {
            FrameTag tag = tag(FrameTag.Kind.UPDATE, pupil, before.step(), chunk, CHUNK);
            MemorySegment header = WorkerFrames.update(before, digest, verdict, arena);
            return switch (verdict) {
                case Verdict.Apply _ -> plane.offer(pupil.fence, pupil.member, tag, header,
                        rank.bytes().inHost(rank.held().finishedGradient(chunk), arena));
                case Verdict.Skip _ -> plane.offer(pupil.fence, pupil.member, tag, header);
            };
        }
    }

    private static FrameTag tag(
            FrameTag.Kind kind, Pupil pupil, long step, int chunk, int part) {
        return new FrameTag(kind, pupil.fence.generation(), step, 0, chunk, part);
    }
}
