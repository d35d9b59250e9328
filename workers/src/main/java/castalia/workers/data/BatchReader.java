package castalia.workers.data;

import castalia.protocol.step.VirtualRanks.Block;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Reads a rank's micro-batches one step ahead on its own daemon thread, into one of two buffers
 * that are allocated once: while step s is used, step s + 1 is read. A step that was not read ahead
 * (the first, or after a resume or a revert) is read at once by the caller.
 *
 * <p>Meant for one rank; several threads may call it, one after another. {@link #close} ends the
 * thread and frees the buffers; nothing may be called afterwards.
 */
public final class BatchReader implements BatchSource, AutoCloseable {
    private enum Fill {
        NOTHING,
        READING,
        READY,
        FAILED
    }

    /** One step's micro-batches; every field is guarded by the reader's lock except contents. */
    private static final class Slot {
        final MemorySegment[] inputs;
        final MemorySegment[] labels;
        long step = -1;
        Fill fill = Fill.NOTHING;
        @Nullable Throwable failure;

        Slot(int units, long bytes, Arena arena) {
            inputs = new MemorySegment[units];
            labels = new MemorySegment[units];
            for (int i = 0; i < units; i++) {
                inputs[i] = arena.allocate(bytes, 64);
                labels[i] = arena.allocate(bytes, 64);
            }
        }
    }

    private final BatchSource source;
    private final Block block;
    private final int units;
    private final long deadlineNanos;
    private final Arena arena = Arena.ofShared();
    private final Slot first;
    private final Slot second;
    private final Thread thread;
    private final Object lock = new Object();
    private long current = -1;
    private boolean closed;

    /**
     * Starts the reading thread.
     *
     * @param block the virtual ranks the rank hosts, at least one
     * @param deadline the longest wait for a step that is being read, and for the thread's end
     */
    public BatchReader(BatchSource source, Block block, Duration deadline) {
        BatchShape shape = source.shape();
        if (block.count() < 1 || block.end() > shape.virtualRanks()) {
            throw new IllegalArgumentException("virtual ranks from " + block.first() + ", "
                    + block.count() + " of them, of " + shape.virtualRanks());
        }
        this.source = source;
        this.block = block;
        this.units = block.count() * shape.microBatches();
        this.deadlineNanos = deadline.toNanos();
        this.first = new Slot(units, 4L * shape.tokens(), arena);
        this.second = new Slot(units, 4L * shape.tokens(), arena);
        this.thread = new Thread(this::readAhead, "batch-reader-" + block.first());
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public BatchShape shape() {
        return source.shape();
    }

    @Override
    public int vocabularySize() {
        return source.vocabularySize();
    }

    @Override
    public List<String> description() {
        return source.description();
    }

    /** {@inheritDoc} Not read ahead. */
    @Override
    public BatchSource untransformed() {
        return source.untransformed();
    }

    /**
     * {@inheritDoc} Only for hosted virtual ranks.
     *
     * @throws DataException also if the step being read ahead does not arrive within the deadline
     */
    @Override
    public void fill(
            long step,
            int virtualRank,
            int microBatch,
            MemorySegment inputs,
            MemorySegment labels) {
        BatchSource.checkTargets(shape(), inputs, labels);
        int unit = unit(virtualRank, microBatch);
        synchronized (lock) {
            if (closed) {
                throw new IllegalStateException("the batch reader is closed");
            }
            if (step != current) {
                current = step;
                lock.notifyAll();
            }
            Slot slot = arrived(step);
            if (slot != null) {
                long bytes = 4L * shape().tokens();
                MemorySegment.copy(slot.inputs[unit], 0, inputs, 0, bytes);
                MemorySegment.copy(slot.labels[unit], 0, labels, 0, bytes);
                return;
            }
        }
        source.fill(step, virtualRank, microBatch, inputs, labels);
    }

    private int unit(int virtualRank, int microBatch) {
        int perRank = shape().microBatches();
        int ahead = virtualRank - block.first();
        int unit = ahead / block.stride() * perRank + microBatch;
        if (ahead < 0 || ahead % block.stride() != 0 || microBatch < 0
                || microBatch >= perRank || unit >= units) {
            throw new IndexOutOfBoundsException("virtual rank " + virtualRank + ", micro-batch "
                    + microBatch + " is not hosted: the block starts at " + block.first()
                    + " and has " + units + " micro-batches");
        }
        return unit;
    }

    /** The slot that holds a step, waiting for it while it is read; null if nobody reads it. */
    private @Nullable Slot arrived(long step) {
        long start = System.nanoTime();
        while (true) {
            Slot slot = first.step == step ? first : second.step == step ? second : null;
            if (slot == null) {
                return null;
            }
            switch (slot.fill) {
                case NOTHING -> {
                    return null;
                }
                case READY -> {
                    return slot;
                }
                case FAILED -> throw failed(step, slot);
                case READING -> {
                    long left = deadlineNanos - (System.nanoTime() - start);
                    if (left <= 0) {
                        throw new DataException("step " + step + " was not read within "
                                + TimeUnit.NANOSECONDS.toSeconds(deadlineNanos)
                                + " s; check the storage the token file is on");
                    }
                    pause(left, step);
                }
            }
        }
    }

    private static DataException failed(long step, Slot slot) {
        Throwable cause = slot.failure;
        String message = cause == null ? null : cause.getMessage();
        return new DataException(
                cause instanceof DataException && message != null
                        ? message
                        : "step " + step + " could not be read: " + cause,
                cause);
    }

    private void pause(long nanos, long step) {
        try {
            TimeUnit.NANOSECONDS.timedWait(lock, Math.max(nanos, 1_000_000));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DataException("the wait for step " + step + " was interrupted", e);
        }
    }

    private void readAhead() {
        while (true) {
            Slot slot = nextSlot();
            if (slot == null) {
                return;
            }
            Fill result = Fill.READY;
            Throwable failure = null;
            try {
                if (!read(slot)) {
                    result = Fill.NOTHING;
                }
            } catch (RuntimeException | Error e) {
                result = Fill.FAILED;
                failure = e;
            }
            synchronized (lock) {
                slot.fill = result;
                slot.failure = failure;
                if (result == Fill.NOTHING) {
                    slot.step = -1;
                }
                lock.notifyAll();
            }
        }
    }

    /** Waits until the step after the current one is wanted; null when the reader is closed. */
    private @Nullable Slot nextSlot() {
        synchronized (lock) {
            while (!closed
                    && (current < 0 || first.step == current + 1 || second.step == current + 1)) {
                try {
                    lock.wait();
                } catch (InterruptedException e) {
                    return null;
                }
            }
            if (closed) {
                return null;
            }
            Slot slot = first.step == current ? second : first;
            slot.step = current + 1;
            slot.fill = Fill.READING;
            slot.failure = null;
            return slot;
        }
    }

    /** Reads a whole step; false if it is no longer wanted. */
    private boolean read(Slot slot) {
        int perRank = shape().microBatches();
        for (int unit = 0; unit < units; unit++) {
            synchronized (lock) {
                if (closed || (slot.step != current && slot.step != current + 1)) {
                    return false;
                }
            }
            source.fill(slot.step, block.at(unit / perRank), unit % perRank,
                    slot.inputs[unit], slot.labels[unit]);
        }
        return true;
    }

    @Override
    public void close() {
        synchronized (lock) {
            closed = true;
            lock.notifyAll();
        }
        boolean ended;
        try {
            ended = thread.join(Duration.ofNanos(deadlineNanos));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            ended = false;
        }
        if (!ended) {
            throw new DataException("the thread that reads batches did not end within "
                    + TimeUnit.NANOSECONDS.toSeconds(deadlineNanos)
                    + " s; check the storage the token file is on");
        }
        // A second close finds the memory freed already.
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
