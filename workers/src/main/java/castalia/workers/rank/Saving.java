package castalia.workers.rank;

import castalia.kernels.Buffer;
import castalia.kernels.Copier;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.StateTransfer.ChunkSink;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/**
 * Hands chunks of a rank to a sink on a thread of its own, ascending, while the rank computes the
 * gradients of the step. Their memory does not change before that step is applied, so nothing is
 * copied but to reach it: whoever changes it finishes or ends this first. The next chunk is on its way
 * while one is taken.
 */
final class Saving implements AutoCloseable {

    /** Weight, first and second moment. */
    private static final int TENSORS = 3;

    /** One chunk. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Part(int chunk, StateDigest digest, Buffer[] tensors) {}

    private final Part[] parts;
    private final Copier copier;
    private final ChunkSink sink;
    private final Thread thread;
    private volatile boolean ended;
    private volatile @Nullable Throwable failure;

    /** Begins; {@code slotBytes} is the size of the longest tensor. */
    Saving(TrainingRank rank, int[] chunks, long slotBytes, ChunkSink sink) {
        this.sink = sink;
        this.parts = new Part[chunks.length];
        for (int i = 0; i < chunks.length; i++) {
            int chunk = chunks[i];
            parts[i] = new Part(chunk, rank.held().digest(chunk), new Buffer[] {
                rank.held().weight(chunk), rank.held().firstMoment(chunk),
                rank.held().secondMoment(chunk)});
        }
        this.copier = rank.bytes().device().copier(2 * TENSORS, slotBytes);
        this.thread = new Thread(this::run, "castalia-saving-" + rank.rank());
        thread.setDaemon(true);
        thread.start();
    }

    @SuppressWarnings("IllegalCatch") // thrown again where it is waited for
    private void run() {
        try {
            begin(0);
            for (int i = 0; i < parts.length && !ended; i++) {
                begin(i + 1);
                int slot = slot(i);
                sink.add(parts[i].chunk, parts[i].digest, copier.await(slot),
                        copier.await(slot + 1), copier.await(slot + 2));
            }
        } catch (IOException | RuntimeException | Error e) {
            failure = e;
        }
    }

    private static int slot(int part) {
        return part % 2 * TENSORS;
    }

    private void begin(int part) {
        if (part < parts.length) {
            for (int i = 0; i < TENSORS; i++) {
                copier.start(slot(part) + i, parts[part].tensors[i]);
            }
        }
    }

    /**
     * Waits until the sink has taken everything.
     *
     * @throws UncheckedIOException if the sink failed
     */
    void finish() {
        join();
        copier.close();
        switch (failure) {
            case null -> { }
            case IOException e -> throw new UncheckedIOException(e);
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            case Throwable e -> throw new IllegalStateException(e);
        }
    }

    private void join() {
        try {
            thread.join();
        } catch (InterruptedException e) {
            ended = true;
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while a checkpoint was written", e);
        }
    }

    /** Ends it after the chunk that is under way, whatever became of it. */
    @Override
    public void close() {
        ended = true;
        join();
        copier.close();
    }
}
