package castalia.kernels.cpu;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Products cut into grids of blocks. The grid is a function of the shape alone; a block is computed
 * by one thread from start to end, so its bits do not depend on which. Where it saves time, the second
 * operand is packed before, for all blocks of rows.
 */
final class Products {

    private final ProductEngine engine;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final Map<MatmulShape, Grid> grids = new HashMap<>();
    private final Map<MatmulShape, Product> products = new HashMap<>();
    private final Map<MatmulShape, Optional<Product>> packedProducts = new HashMap<>();

    Products(ProductEngine engine, WorkerPool pool, Scratch scratch) {
        this.engine = engine;
        this.pool = pool;
        this.scratch = scratch;
    }

    /** The grid of a shape; prepared when it is first asked for. */
    Grid grid(MatmulShape shape) {
        Grid grid = grids.get(shape);
        if (grid == null) {
            grid = new Grid(shape);
            grids.put(shape, grid);
        }
        return grid;
    }

    /** The product of one block; prepared when it is first asked for. */
    Product block(MatmulShape shape) {
        Product product = products.get(shape);
        if (product == null) {
            product = engine.product(shape);
            products.put(shape, product);
        }
        return product;
    }

    /** The product of one block whose second operand is packed, if the engine has one. */
    private Optional<Product> packedBlock(MatmulShape shape) {
        Optional<Product> product = packedProducts.get(shape);
        if (product == null) {
            product = Optional.ofNullable(engine.packed(shape));
            packedProducts.put(shape, product);
        }
        return product;
    }

    void multiply(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        Grid grid = grid(shape);
        grid.out = out.segment().address();
        grid.a = a.segment().address();
        grid.b = b.segment().address();
        grid.bias = shape.bias() && bias != null ? bias.segment().address() : 0;
        grid.run();
    }

    /** How a shape is cut. */
    record Cut(int rows, int columns) {

        private static final int ROWS = 256;
        private static final int COLUMNS = 2048;
        private static final int ROW_MULTIPLE = 16;
        private static final int LEAST_ROWS = 64;
        private static final int LEAST_COLUMNS = 128;

        /** What a block costs besides its rows, in rows: measured. */
        private static final double REPACKING = 24;

        /** Multiplications below which a product is not cut for the sake of threads. */
        private static final long SMALL = 1L << 20;

        static Cut of(MatmulShape shape) {
            int rowBlocks = (shape.m() + ROWS - 1) / ROWS;
            int columnBlocks = (shape.n() + COLUMNS - 1) / COLUMNS;
            if ((long) shape.m() * shape.n() * shape.k() >= SMALL) {
                if (rowBlocks * columnBlocks == 1) {
                    // Fewer rows cost more where operands are repacked per block: BF16.
                    boolean byRows = shape.m() >= 2 * LEAST_ROWS && shape.m() >= shape.n() / 2
                            && (shape.input() == DType.F32 || shape.n() < 2 * LEAST_COLUMNS);
                    if (byRows) {
                        rowBlocks = 2;
                    } else if (shape.n() >= 2 * LEAST_COLUMNS) {
                        columnBlocks = 2;
                    }
                } else if (rowBlocks * columnBlocks < 8 && rowBlocks % 2 == 1
                        && columnBlocks % 2 == 1 && shape.m() >= (rowBlocks + 1) * LEAST_ROWS) {
                    rowBlocks++;
                }
            }
            int rows = rowBlocks > 2
                    ? balanced(shape.m(), columnBlocks)
                    : part(shape.m(), rowBlocks, ROW_MULTIPLE);
            return new Cut(rows, part(shape.n(), columnBlocks, 64));
        }

        /**
         * The number of rows with which two threads end soonest: few rows cost repacking, many leave
         * one of them idle at the end. More threads take more blocks at once and lose as little.
         */
        private static int balanced(int m, int columnBlocks) {
            int best = ROWS;
            double least = Double.POSITIVE_INFINITY;
            for (int rows = ROWS; rows >= ROWS / 2; rows -= ROW_MULTIPLE) {
                int whole = m / rows * columnBlocks;
                int one = (whole + 1) / 2 * rows;
                int other = whole / 2 * rows;
                for (int block = 0; block < columnBlocks; block++) {
                    if (one <= other) {
                        one += m % rows;
                    } else {
                        other += m % rows;
                    }
                }
                double cost = Math.max(one, other) * (1 + REPACKING / rows);
                if (cost < least) {
                    least = cost;
                    best = rows;
                }
            }
            return best;
        }

        private static int part(int whole, int parts, int multiple) {
            int even = (whole + parts - 1) / parts;
            return Math.min(whole, (even + multiple - 1) / multiple * multiple);
        }
    }

    /** A shape's blocks: inner ones, and those cut short at the right, the bottom and both. */
    final class Grid extends WorkerPool.Task {

        /** Bytes packed at once, read while they are in a cache; more if a block of columns has more. */
        private static final long WAVE_BYTES = 8L << 20;

        private final MatmulShape shape;
        private final Cut cut;
        private final int rowBlocks;
        private final int columnBlocks;
        private final Product[] parts;
        private final List<MatmulShape> shapes;
        private final @Nullable Packing packing;

        /** Blocks of columns that are computed at once, the first of those computed now. */
        private final int wave;

        private int first;
        private long out;
        private long a;
        private long b;
        private long bias;

        Grid(MatmulShape shape) {
            this.shape = shape;
            cut = Cut.of(shape);
            rowBlocks = (shape.m() + cut.rows() - 1) / cut.rows();
            columnBlocks = (shape.n() + cut.columns() - 1) / cut.columns();
            List<MatmulShape> all = new ArrayList<>();
            for (int part = 0; part < 4; part++) {
                all.add(cut(shape, rowsOf((part & 2) == 0 ? 0 : rowBlocks - 1),
                        columnsOf((part & 1) == 0 ? 0 : columnBlocks - 1)));
            }
            shapes = List.copyOf(new LinkedHashSet<>(all));
            List<Product> packed = Packing.pays(shape, cut.columns())
                    ? all.stream().flatMap(one -> packedBlock(one).stream()).toList() : List.of();
            if (packed.size() == all.size()) {
                long bytes = Packing.bytes(shape, cut.columns());
                parts = packed.toArray(Product[]::new);
                packing = new Packing(shape);
                wave = Math.clamp(WAVE_BYTES / bytes, 1, columnBlocks);
                scratch.ensurePacked(wave * bytes);
            } else {
                parts = all.stream().map(Products.this::block).toArray(Product[]::new);
                packing = null;
                wave = columnBlocks;
            }
        }

        /** The distinct shapes of the grid's blocks. */
        List<MatmulShape> blockShapes() {
            return shapes;
        }

        /** What computes blocks of one of these shapes. */
        Product product(MatmulShape block) {
            return packing == null ? Products.this.block(block) : packedBlock(block).orElseThrow();
        }

        /** Whether that wants its second operand packed. */
        boolean packs() {
            return packing != null;
        }

        /** Computes all blocks. */
        void run() {
            for (first = 0; first < columnBlocks; first += wave) {
                int count = Math.min(wave, columnBlocks - first);
                if (packing != null) {
                    int column = first * cut.columns();
                    packing.run(pool, scratch.packed(), b + (long) column * shape.input().bytes(),
                            Math.min(count * cut.columns(), shape.n() - column));
                }
                pool.run(this, rowBlocks * count);
            }
        }

        private int rowsOf(int i) {
            return Math.min(cut.rows(), shape.m() - i * cut.rows());
        }

        private int columnsOf(int j) {
            return Math.min(cut.columns(), shape.n() - j * cut.columns());
        }

        private int part(int i, int j) {
            return (i == rowBlocks - 1 ? 2 : 0) + (j == columnBlocks - 1 ? 1 : 0);
        }

        @Override
        void block(int block, int thread) {
            int i = block % rowBlocks;
            int j = first + block / rowBlocks;
            long row = (long) i * cut.rows();
            long column = (long) j * cut.columns();
            int inputBytes = shape.input().bytes();
            long offsetA = shape.transposeA() ? row : row * shape.strideA();
            long to = out + (row * shape.strideOut() + column) * shape.output().bytes();
            if (shape.accumulate()) {
                int output = shape.output().bytes();
                scratch.warm(thread, to, (long) shape.strideOut() * output, rowsOf(i),
                        columnsOf(j) * output);
            }
            parts[part(i, j)].run(thread, to, a + offsetA * inputBytes, right(j, column),
                    bias + column * inputBytes);
        }

        /** Where the second operand of a block of columns begins. */
        private long right(int j, long column) {
            return packing != null
                    ? scratch.packed() + Packing.bytes(shape, (j - first) * cut.columns())
                    : b + (shape.transposeB() ? column * shape.strideB() : column)
                            * shape.input().bytes();
        }
    }

    /** The same product of fewer rows and columns. */
    static MatmulShape cut(MatmulShape shape, int rows, int columns) {
        return new MatmulShape(rows, columns, shape.k(), shape.transposeA(), shape.transposeB(),
                shape.strideA(), shape.strideB(), shape.strideOut(), shape.input(), shape.output(),
                shape.accumulate(), shape.bias());
    }
}
