package castalia.workers.runtime;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.Verdict;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.DataPlane.Parcel;
import castalia.workers.rank.ChunkLearner;
import castalia.workers.rank.TrainingRank;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import org.jspecify.annotations.Nullable;

/** What a worker is to learn, and the frames from which it learns. Used by the rank's thread. */
final class Lessons implements AutoCloseable {

    private final DataPlane plane;
    private final TrainingRank rank;
    private final ChunkGrid grid;
    private final StoredSteps stored;
    private final Deque<Parcel> early = new ArrayDeque<>();
    private @Nullable ChunkLearner learner;
    private Fence fence = Fence.NONE;
    private boolean told;

    Lessons(DataPlane plane, TrainingRank rank, ChunkGrid grid, StoredSteps stored) {
        this.plane = plane;
        this.rank = rank;
        this.grid = grid;
        this.stored = stored;
    }

    /** Begins to learn; what came before belongs to another generation. */
    void begin(CoordinatorMessage.Learn learn) {
        end();
        fence = learn.fence();
        learner = new ChunkLearner(rank, grid, new HashSet<>(learn.chunks()));
        told = false;
    }

    /** The generation is over; what was learnt is kept. */
    void end() {
        ChunkLearner last = learner;
        learner = null;
        if (last != null) {
            last.close();
        }
    }

    boolean active() {
        return learner != null;
    }

    /** The generation in which it learns. */
    Fence fence() {
        return fence;
    }

    /** Whether everything is here at a version or a newer one; true where nothing is to learn. */
    boolean reached(long version) {
        ChunkLearner now = learner;
        return now == null || (now.complete() && now.version() >= version);
    }

    /** The version of all, once: when the last chunk has come. */
    boolean caughtUp() {
        ChunkLearner now = learner;
        boolean first = now != null && !told && now.complete();
        told |= first;
        return first;
    }

    /** The oldest version of what is learnt. */
    long version() {
        ChunkLearner now = learner;
        return now == null ? -1 : now.version();
    }

    /**
     * Takes in everything that has come.
     *
     * @param wait how long to wait if nothing has
     */
    void absorb(Duration wait) {
        if (learner == null) {
            return;
        }
        Deque<Parcel> again = new ArrayDeque<>(early);
        early.clear();
        again.forEach(this::take);
        Parcel next = plane.poll(wait);
        while (next != null) {
            take(next);
            next = plane.poll(Duration.ZERO);
        }
    }

    private void take(Parcel parcel) {
        if (parcel.fence().newerThan(fence)) {
            early.add(parcel);
            return;
        }
        try (parcel) {
            ChunkLearner now = learner;
            if (now != null && parcel.fence().equals(fence)) {
                learn(now, parcel);
            }
        }
    }

    private void learn(ChunkLearner now, Parcel parcel) {
        MemorySegment from = parcel.payload();
        int chunk = parcel.tag().chunk();
        switch (parcel.tag().kind()) {
            case STATE -> {
                if (parcel.tag().part() == Feeder.STORED) {
                    require(parcel, stored.encodedBytes());
                    stored.learn(from);
                } else if (now.wants(chunk)) {
                    long bytes = 4L * grid.chunk(chunk).length();
                    require(parcel, WorkerFrames.STATE_HEADER + 3 * bytes);
                    ScalarState scalars = WorkerFrames.scalars(from, 0);
                    long at = WorkerFrames.STATE_HEADER;
                    now.base(chunk, scalars, WorkerFrames.digest(from, WorkerFrames.SCALARS),
                            from.asSlice(at, bytes), from.asSlice(at + bytes, bytes),
                            from.asSlice(at + 2 * bytes, bytes));
                }
            }
            case UPDATE -> {
                if (now.wants(chunk)) {
                    if (from.byteSize() < WorkerFrames.UPDATE_HEADER) {
                        require(parcel, WorkerFrames.UPDATE_HEADER);
                    }
                    WorkerFrames.Update update = WorkerFrames.update(from);
                    long bytes = switch (update.committed().verdict()) {
                        case Verdict.Apply _ -> 4L * grid.chunk(chunk).length();
                        case Verdict.Skip _ -> 0;
                    };
                    require(parcel, WorkerFrames.UPDATE_HEADER + bytes);
                    now.update(chunk, update.committed(), update.before(), update.digest(),
                            from.asSlice(WorkerFrames.UPDATE_HEADER, bytes));
                }
            }
            case PARTIAL_GRADIENT, FINISHED_GRADIENT, VOTE, WEIGHTS, STORED, MOVE, MOVED,
                    SLICE, FETCH, FETCHED, REACH, TAKEN -> throw new
                    IllegalStateException(parcel.tag() + " was offered to a learner");
        }
    }

    private static void require(Parcel parcel, long bytes) {
        if (parcel.payload().byteSize() != bytes) {
            throw new IllegalStateException(parcel.tag() + " has " + parcel.payload().byteSize()
                    + " bytes instead of " + bytes);
        }
    }

    @Override
    public void close() {
        end();
        early.forEach(Parcel::close);
        early.clear();
    }
}
