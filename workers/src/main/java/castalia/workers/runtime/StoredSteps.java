package castalia.workers.runtime;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.AllExchange;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TrainingRank;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Stores states together with the other ranks and remembers, until they are published, what was
 * stored: whoever survives can say it again. About 200 bytes a chunk and step are remembered, 2.4 MB
 * a step of 12 billion parameters, and {@link CheckpointPort#mostUnpublished} steps at most.
 */
final class StoredSteps {

    private static final int ENTRIES_PER_MESSAGE = 1000;

    private final ChunkGrid grid;
    private final CheckpointPort port;
    private final SortedMap<Long, Step> unpublished = new TreeMap<>();
    private @Nullable Begun begun;

    /** A stored state. */
    record Step(ScalarState scalars, List<ChunkEntry> entries) {
        Step {
            entries = List.copyOf(entries);
        }

        StateDigest digest() {
            return entries.stream().map(ChunkEntry::digest)
                    .reduce(StateDigest.ZERO, StateDigest::plus);
        }
    }

    /** What is on its way: entries are added by another thread until it is finished. */
    private record Begun(CheckpointPort.Writing writing, List<ChunkEntry> own) {}

    StoredSteps(ChunkGrid grid, CheckpointPort port) {
        this.grid = grid;
        this.port = port;
    }

    /** Begins to store the chunks this rank owns, while it goes on. */
    void begin(TrainingRank rank) {
        try {
            CheckpointPort.Writing writing = port.begin(rank.scalars());
            List<ChunkEntry> own = new ArrayList<>();
            begun = new Begun(writing, own);
            StateTransfer.beginSaving(rank, grid, (chunk, digest, weights, first, second) ->
                    own.add(writing.add(chunk, digest, weights, first, second)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Whether a state is on its way to storage. */
    boolean writing() {
        return begun != null;
    }

    /** The generation is over: what was begun will not be finished. */
    void leave() {
        begun = null;
    }

    /** Waits for what was begun and exchanges entries; all ranks do it at once. */
    Step finish(TrainingRank rank, Membership member) {
        ScalarState scalars = rank.scalars();
        Placement placement = member.plan().placement();
        Transport transport = member.transport();
        List<ChunkEntry> own = own(rank);
        FrameTag tag = new FrameTag(FrameTag.Kind.STORED, member.fence().generation(),
                scalars.step(), 0, 0, Boundary.ENTRIES);
        List<ChunkEntry> all = new ArrayList<>(grid.size());
        try (Arena arena = Arena.ofShared()) {
            List<MemorySegment> parts = AllExchange.of(transport, tag,
                    WorkerFrames.entries(own, 0, arena),
                    r -> (long) WorkerFrames.ENTRY * placement.owned(r).length, arena);
            for (int r = 0; r < parts.size(); r++) {
                all.addAll(WorkerFrames.entries(parts.get(r), 0, placement.owned(r), grid));
            }
        }
        all.sort(Comparator.comparingInt(entry -> entry.chunk().index()));
        Step step = new Step(scalars, all);
        unpublished.put(scalars.step(), step);
        return step;
    }

    private List<ChunkEntry> own(TrainingRank rank) {
        Begun last = begun;
        if (last == null) {
            throw new IllegalStateException("no state is on its way to storage");
        }
        begun = null;
        try {
            StateTransfer.finishSaving(rank);
            last.writing.settle();
            return last.own;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Says that a step is stored. */
    static void say(Step step, Fence fence, Consumer<WorkerMessage> outbox) {
        List<ChunkEntry> entries = step.entries();
        for (int at = 0; at < entries.size(); at += ENTRIES_PER_MESSAGE) {
            outbox.accept(new WorkerMessage.Stored(fence, step.scalars(),
                    entries.subList(at, Math.min(at + ENTRIES_PER_MESSAGE, entries.size())),
                    entries.size()));
        }
    }

    /** What is not known to be published, ascending. */
    List<Step> unpublished() {
        return List.copyOf(unpublished.values());
    }

    /** Whether no further step may be stored before one is published. */
    boolean full() {
        return unpublished.size() >= port.mostUnpublished();
    }

    void published(long step) {
        unpublished.remove(step);
    }

    /** A stored step as a learner is told of it. */
    static MemorySegment encode(Step step, Arena arena) {
        MemorySegment to = WorkerFrames.entries(step.entries(), WorkerFrames.SCALARS, arena);
        WorkerFrames.put(to, 0, step.scalars());
        return to;
    }

    /** Bytes of an encoded step. */
    long encodedBytes() {
        return WorkerFrames.SCALARS + (long) WorkerFrames.ENTRY * grid.size();
    }

    /** Takes over what another worker knows to be stored. */
    void learn(MemorySegment encoded) {
        ScalarState scalars = WorkerFrames.scalars(encoded, 0);
        unpublished.put(scalars.step(), new Step(scalars, WorkerFrames.entries(encoded,
                WorkerFrames.SCALARS, IntStream.range(0, grid.size()).toArray(), grid)));
    }
}
