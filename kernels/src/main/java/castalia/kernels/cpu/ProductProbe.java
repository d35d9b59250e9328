package castalia.kernels.cpu;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.KnownAnswers;
import castalia.kernels.MatmulShape;
import java.lang.foreign.MemorySegment;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** Computes each distinct block of a product's grid on every thread of a pool. */
final class ProductProbe {

    private static final long SEED = 20;

    /** Values that differ: a prime, so that rows do not repeat each other. */
    private static final int PIECE = 65_521;

    private final CpuDevice device;
    private final WorkerPool pool;
    private final Products products;

    ProductProbe(CpuDevice device, WorkerPool pool, Products products) {
        this.device = device;
        this.pool = pool;
        this.products = products;
    }

    /** One digest for each thread. */
    List<String> answers(MatmulShape whole) {
        MessageDigest[] digests = new MessageDigest[pool.threads()];
        for (int thread = 0; thread < digests.length; thread++) {
            digests[thread] = KnownAnswers.sha256();
        }
        Products.Grid grid = products.grid(whole);
        for (MatmulShape block : grid.blockShapes()) {
            probe(grid, block, digests);
        }
        List<String> answers = new ArrayList<>();
        for (MessageDigest digest : digests) {
            answers.add(HexFormat.of().formatHex(digest.digest()));
        }
        return answers;
    }

    private void probe(Products.Grid grid, MatmulShape shape, MessageDigest[] digests) {
        try (Arena arena = device.arena()) {
            long aElements = shape.transposeA()
                    ? extent(shape.k(), shape.strideA(), shape.m())
                    : extent(shape.m(), shape.strideA(), shape.k());
            long bElements = shape.transposeB()
                    ? extent(shape.n(), shape.strideB(), shape.k())
                    : extent(shape.k(), shape.strideB(), shape.n());
            Buffer a = values(arena, shape.input(), aElements, 1);
            Buffer b = values(arena, shape.input(), bElements, 2);
            Buffer bias = values(arena, shape.input(), shape.n(), 3);
            long outElements = extent(shape.m(), shape.strideOut(), shape.n());
            Buffer[] outs = new Buffer[digests.length];
            for (int thread = 0; thread < outs.length; thread++) {
                outs[thread] = values(arena, shape.output(), outElements, 4);
            }
            Product product = grid.product(shape);
            Buffer right = grid.packs() ? packed(arena, shape, b) : b;
            pool.runOnEach(new WorkerPool.Task() {
                @Override
                void block(int block, int thread) {
                    product.run(thread, outs[thread].segment().address(), a.segment().address(),
                            right.segment().address(), bias.segment().address());
                }
            });
            for (int thread = 0; thread < outs.length; thread++) {
                digests[thread].update(outs[thread].segment().asByteBuffer());
            }
        }
    }

    private Buffer packed(Arena arena, MatmulShape shape, Buffer b) {
        Buffer packed = arena.allocate(
                DType.F32, Packing.bytes(shape, shape.n()) / Float.BYTES);
        new Packing(shape).run(
                pool, packed.segment().address(), b.segment().address(), shape.n());
        return packed;
    }

    private static long extent(int rows, int stride, int columns) {
        return (rows - 1L) * stride + columns;
    }

    /** A buffer with the same contents for the same arguments: one piece again and again. */
    private Buffer values(Arena arena, DType type, long elements, int tensor) {
        Buffer buffer = arena.allocate(type, elements);
        int piece = (int) Math.min(PIECE, elements);
        device.kernels().normal(buffer, 1, SEED, tensor, 0, 0, piece, 1, piece);
        MemorySegment memory = buffer.segment();
        long bytes = (long) piece * type.bytes();
        for (long at = bytes; at < memory.byteSize(); at += bytes) {
            MemorySegment.copy(memory, 0, memory, at, Math.min(bytes, memory.byteSize() - at));
        }
        return buffer;
    }
}
