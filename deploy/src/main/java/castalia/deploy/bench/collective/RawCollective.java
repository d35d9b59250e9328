package castalia.deploy.bench.collective;

import castalia.deploy.bench.collective.RawSockets.Links;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32C;

/**
 * What the data plane is measured against: the same bytes over the same kind of socket, each piece
 * checksummed by sender and receiver and, to reduce, added by the same kernel. One thread writes to each
 * peer, the caller's reads from all of them; a piece stays in the cache between checksum, socket and
 * sum. No frames, fences, deadlines, early frames or fixed order.
 */
final class RawCollective implements Collective {

    /** The fastest of 64 KiB to 1 MiB on the machine of deploy/bench/README.md. */
    private static final int PIECE = 1 << 18;

    private final int rank;
    private final Bucket bucket;
    private final Links links;
    private final Kernels kernels;
    private final Arena arena;
    private final Buffer gradient;
    private final Buffer weights;
    private final Buffer scratch;
    private final ByteBuffer scratchBytes;
    private final ByteBuffer trailer = trailer();
    private final List<ExecutorService> writers = new ArrayList<>();
    private final List<Future<?>> written = new ArrayList<>();

    /** Gradients of one, weights of one more than the rank. */
    RawCollective(Bucket bucket, int rank, Links links, Device device) {
        this.bucket = bucket;
        this.rank = rank;
        this.links = links;
        this.kernels = device.kernels();
        this.arena = device.arena();
        long elements = bucket.bytes() / Float.BYTES;
        this.gradient = arena.allocate(DType.F32, elements);
        this.weights = arena.allocate(DType.F32, elements);
        this.scratch = arena.allocate(DType.F32, PIECE / Float.BYTES);
        this.scratchBytes = scratch.segment().asByteBuffer();
        for (long i = 0; i < elements; i++) {
            gradient.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
            weights.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, rank + 1f);
        }
        for (int r = 0; r < bucket.ranks(); r++) {
            writers.add(Executors.newSingleThreadExecutor(run -> {
                Thread thread = new Thread(run, "raw-writer");
                thread.setDaemon(true);
                return thread;
            }));
        }
    }

    private static ByteBuffer trailer() {
        return ByteBuffer.allocateDirect(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    @Override
    public void reduceScatter() {
        exchange(() -> {
            long end = bucket.start(rank + 1);
            for (long at = bucket.start(rank); at < end; at += PIECE) {
                int length = (int) Math.min(PIECE, end - at);
                Buffer sum = gradient.slice(at / Float.BYTES, length / Float.BYTES);
                Buffer other = scratch.slice(0, length / Float.BYTES);
                for (SocketChannel peer : links.from().values()) {
                    read(peer, scratchBytes.duplicate().limit(length));
                    kernels.add(sum, other, sum.elements());
                }
            }
        }, (peer, to) -> write(to, gradient, bucket.start(peer), bucket.start(peer + 1)));
    }

    @Override
    public void allGather() {
        exchange(() -> {
            boolean more = true;
            for (long done = 0; more; done += PIECE) {
                more = false;
                for (Map.Entry<Integer, SocketChannel> peer : links.from().entrySet()) {
                    long at = bucket.start(peer.getKey()) + done;
                    long left = bucket.start(peer.getKey() + 1) - at;
                    if (left > 0) {
                        read(peer.getValue(), weights.segment()
                                .asSlice(at, Math.min(PIECE, left)).asByteBuffer());
                        more = true;
                    }
                }
            }
        }, (_, to) -> write(to, weights, bucket.start(rank), bucket.start(rank + 1)));
    }

    private interface Part {
        void run() throws IOException;
    }

    private interface PerPeer {
        void run(int peer, SocketChannel to) throws IOException;
    }

    private void exchange(Part reading, PerPeer writing) {
        links.to().forEach((peer, channel) -> written.add(writers.get(peer).submit(() -> {
            writing.run(peer, channel);
            return null;
        })));
        try {
            reading.run();
            for (Future<?> one : written) {
                one.get();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } catch (ExecutionException e) {
            throw new IllegalStateException("a writer of the plain loop failed", e.getCause());
        }
        written.clear();
    }

    private void write(SocketChannel to, Buffer from, long start, long end) throws IOException {
        ByteBuffer check = trailer();
        for (long at = start; at < end; at += PIECE) {
            ByteBuffer piece =
                    from.segment().asSlice(at, Math.min(PIECE, end - at)).asByteBuffer();
            check.clear();
            check.putInt(0, crc(piece.duplicate()));
            RawSockets.write(to, piece, check);
        }
    }

    private void read(SocketChannel from, ByteBuffer piece) throws IOException {
        trailer.clear();
        RawSockets.read(from, piece, trailer);
        if (trailer.getInt(0) != crc(piece.flip())) {
            throw new IOException("the plain loop received other bytes than were sent");
        }
    }

    private static int crc(ByteBuffer bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return (int) crc.getValue();
    }

    @Override
    public float sum() {
        return gradient.segment().get(ValueLayout.JAVA_FLOAT, bucket.start(rank));
    }

    @Override
    public float weight(int of) {
        return weights.segment().get(ValueLayout.JAVA_FLOAT, bucket.start(of));
    }

    @Override
    public void close() {
        writers.forEach(ExecutorService::shutdownNow);
        arena.close();
    }
}
