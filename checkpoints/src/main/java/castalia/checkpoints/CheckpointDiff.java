package castalia.checkpoints;

import castalia.checkpoints.CheckpointReader.Kind;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.step.ScalarState;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/** Two checkpoints, of one run or of two, compared tensor by tensor. */
public final class CheckpointDiff {

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT;
    private static final ValueLayout.OfInt BITS = ValueLayout.JAVA_INT;
    private static final long PIECE = 1 << 18;

    private CheckpointDiff() {}

    /**
     * A tensor, or its moments, that differ.
     *
     * @param tensor its name
     * @param kind weights or moments
     * @param different elements whose bits differ
     * @param firstIndex first of them in the whole tensor, row-major
     * @param firstLeft its value on the left
     * @param firstRight its value on the right
     * @param maxAbsolute largest absolute difference; NaN if one side alone is NaN somewhere
     */
    public record TensorDifference(
            String tensor,
            Kind kind,
            long different,
            long firstIndex,
            float firstLeft,
            float firstRight,
            double maxAbsolute) {}

    /**
     * What differs.
     *
     * @param scalars differences of the scalar state, one line each
     * @param tensors tensors that differ, in the order of the model
     */
    public record Result(List<String> scalars, List<TensorDifference> tensors) {

        public Result {
            scalars = List.copyOf(scalars);
            tensors = List.copyOf(tensors);
        }

        /** Whether both are the same state, bit for bit. */
        public boolean equal() {
            return scalars.isEmpty() && tensors.isEmpty();
        }

        /** The first difference among the tensors. */
        public Optional<TensorDifference> first() {
            return tensors.stream().findFirst();
        }
    }

    /**
     * Compares two checkpoints. Their runs may be cut into different numbers of tensor slices;
     * chunks that have the same content hash are not read.
     *
     * @throws CheckpointException if the models have different tensors, or a chunk is damaged
     */
    public static Result compare(CheckpointReader left, CheckpointReader right)
            throws IOException {
        List<Parameter> tensors = NeoxParameters.of(left.layout().shape());
        if (!tensors.equals(NeoxParameters.of(right.layout().shape()))) {
            throw new CheckpointException(left.folder().path() + " and " + right.folder().path()
                    + " hold models of different shapes");
        }
        List<String> scalars = scalars(left.manifest().scalarState(),
                right.manifest().scalarState());
        boolean sameGrid = left.folder().grid().chunks().equals(right.folder().grid().chunks());
        List<TensorDifference> different = new ArrayList<>();
        Sides sides = new Sides(left, right);
        for (Parameter tensor : tensors) {
            if (sameGrid && sameChunks(tensor, left, right)) {
                continue;
            }
            different.addAll(sides.compare(tensor));
        }
        return new Result(scalars, different);
    }

    private static List<String> scalars(ScalarState a, ScalarState b) {
        List<String> lines = new ArrayList<>();
        scalar(lines, "step", a.step(), b.step());
        scalar(lines, "appliedUpdates", a.appliedUpdates(), b.appliedUpdates());
        scalar(lines, "lossScale", a.lossScale(), b.lossScale());
        scalar(lines, "scalerIteration", a.scalerIteration(), b.scalerIteration());
        scalar(lines, "lastOverflow", a.lastOverflow(), b.lastOverflow());
        scalar(lines, "hysteresis", a.hysteresis(), b.hysteresis());
        return lines;
    }

    private static void scalar(List<String> lines, String name, Number a, Number b) {
        if (!a.equals(b)) {
            lines.add(name + " " + a + " against " + b);
        }
    }

    /** Whether all chunks that hold a tensor have equal hashes. */
    private static boolean sameChunks(Parameter tensor, CheckpointReader a, CheckpointReader b)
            throws IOException {
        boolean same = true;
        FlatLayout layout = a.layout();
        for (int slice = 0; slice < layout.tensorSlices(); slice++) {
            if (slice > 0 && tensor.role().split() == Parameter.Split.NONE) {
                break;
            }
            long from = layout.slice(tensor.role(), tensor.layer(), slice).offset();
            long end = from + layout.slice(tensor.role(), tensor.layer(), slice).elements();
            for (int i = a.chunkAt(from);
                    i < a.folder().grid().size() && a.folder().grid().chunk(i).offset() < end;
                    i++) {
                same &= a.manifest().chunks().get(i).sha256()
                        .equals(b.manifest().chunks().get(i).sha256());
            }
        }
        return same;
    }

    /** Both checkpoints with the chunks of each kept for all three kinds. */
    private static final class Sides {

        private final TensorMap leftMap;
        private final TensorMap rightMap;
        private final Map<Kind, FlatWeights> left = new EnumMap<>(Kind.class);
        private final Map<Kind, FlatWeights> right = new EnumMap<>(Kind.class);

        Sides(CheckpointReader a, CheckpointReader b) {
            leftMap = new TensorMap(a.layout());
            rightMap = new TensorMap(b.layout());
            CheckpointReader.Cache aCache = a.new Cache(a.layout().tensorSlices() + 1);
            CheckpointReader.Cache bCache = b.new Cache(b.layout().tensorSlices() + 1);
            for (Kind kind : Kind.values()) {
                left.put(kind, a.elements(kind, aCache));
                right.put(kind, b.elements(kind, bCache));
            }
        }

        List<TensorDifference> compare(Parameter tensor) throws IOException {
            Map<Kind, Tally> tallies = new EnumMap<>(Kind.class);
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment a = arena.allocate(PIECE * Float.BYTES, Long.BYTES);
                MemorySegment b = arena.allocate(PIECE * Float.BYTES, Long.BYTES);
                for (long from = 0; from < tensor.elements(); from += PIECE) {
                    long bytes = Math.min(PIECE, tensor.elements() - from) * Float.BYTES;
                    for (Kind kind : Kind.values()) {
                        MemorySegment x = a.asSlice(0, bytes);
                        MemorySegment y = b.asSlice(0, bytes);
                        leftMap.gather(of(left, kind), tensor, from, x);
                        rightMap.gather(of(right, kind), tensor, from, y);
                        if (x.mismatch(y) >= 0) {
                            tallies.computeIfAbsent(kind, _ -> new Tally()).add(from, x, y);
                        }
                    }
                }
            }
            List<TensorDifference> found = new ArrayList<>();
            tallies.forEach((kind, tally) -> found.add(new TensorDifference(
                    tensor.name(), kind, tally.different, tally.firstIndex, tally.firstLeft,
                    tally.firstRight, tally.maximum)));
            return found;
        }

        private static FlatWeights of(Map<Kind, FlatWeights> side, Kind kind) {
            return Objects.requireNonNull(side.get(kind));
        }
    }

    /** Differences of one tensor, added up piece by piece. */
    private static final class Tally {

        private long different;
        private long firstIndex;
        private float firstLeft;
        private float firstRight;
        private double maximum;

        void add(long from, MemorySegment a, MemorySegment b) {
            for (long i = 0; i < a.byteSize(); i += Float.BYTES) {
                if (a.get(BITS, i) == b.get(BITS, i)) {
                    continue;
                }
                float x = a.get(FLOAT, i);
                float y = b.get(FLOAT, i);
                if (different++ == 0) {
                    firstIndex = from + i / Float.BYTES;
                    firstLeft = x;
                    firstRight = y;
                }
                boolean bothNan = Float.isNaN(x) && Float.isNaN(y);
                maximum = Math.max(maximum, bothNan || x == y ? 0 : Math.abs((double) x - y));
            }
        }
    }
}
