package castalia.checkpoints;

import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** A small run: its specification, made-up states, and checkpoints of them. */
final class Runs {

    private Runs() {}

    /** Chunks of one block and of three. */
    static ModelShape shape() {
        return new ModelShape(1, 16, 2, 24, 2048, 8, 4, 10000, 1e-5, true, Gelu.TANH, 1);
    }

    static RunSpecification specification(int tensorSlices, long seed) {
        return specification(shape(), tensorSlices, seed);
    }

    /** A run of as few bytes as can be. */
    static RunSpecification smallest() {
        return specification(
                new ModelShape(1, 4, 2, 4, 4, 4, 2, 10000, 1e-5, true, Gelu.TANH, 1), 1, 1);
    }

    /** A run of eight heads and eight tensor slices. */
    static RunSpecification eightSlices() {
        return specification(
                new ModelShape(1, 16, 8, 32, 64, 8, 2, 10000, 1e-5, true, Gelu.ERF, 1), 8, 1);
    }

    private static RunSpecification specification(
            ModelShape shape, int tensorSlices, long seed) {
        return TrainingPlan.builder(
                        shape, new LearningRateSchedule.NeoxV1(1e-3, 1e-4, 1.5, 150))
                .tensorSlices(tensorSlices)
                .seed(seed)
                .trainSteps(1000)
                .build()
                .specification(DataManifest.ofKind("synthetic"), "test-1");
    }

    static RunSpecification specification() {
        return specification(2, 1);
    }

    /** The scalar state after so many steps. */
    static ScalarState scalars(long step) {
        return new ScalarState(step, step, 1, 0, -1, 1);
    }

    /** Weights and moments of a whole state in flat order. */
    record State(ChunkGrid grid, List<MemorySegment> parts) {

        /** Values that depend on tensor, element and seed alone, never on T; padding is zero. */
        static State of(Arena arena, RunSpecification specification, long seed) {
            ChunkGrid grid = ChunkGrid.of(
                    FlatLayout.of(specification.model(), specification.tensorSlices()));
            List<MemorySegment> parts = new ArrayList<>();
            for (int kind = 0; kind < 3; kind++) {
                MemorySegment part = arena.allocate(grid.layout().elements() * 4, 64);
                parts.add(part);
                for (TensorSlice slice : grid.layout().slices()) {
                    long key = slice.parameter().name().hashCode() * 31L + seed * 7 + kind;
                    for (int row = 0; row < slice.rows(); row++) {
                        for (int column = 0; column < slice.columns(); column++) {
                            long mixed = (slice.tensorIndex(row, column) + key)
                                    * 0x9E3779B97F4A7C15L;
                            part.setAtIndex(
                                    ValueLayout.JAVA_FLOAT,
                                    slice.offset() + (long) row * slice.columns() + column,
                                    (mixed >>> 40) * 0x1p-24f - 0.5f);
                        }
                    }
                }
            }
            return new State(grid, parts);
        }

        MemorySegment part(int kind, int chunk) {
            Chunk of = grid.chunk(chunk);
            return parts.get(kind).asSlice(of.offset() * 4, of.length() * 4L);
        }

        void addTo(CheckpointWriter writer, int chunk) throws IOException {
            writer.add(chunk, part(0, chunk), part(1, chunk), part(2, chunk));
        }
    }

    /** Writes the checkpoint of a step; its state depends on the step alone. */
    static Manifest write(RunFolder folder, long step) throws IOException {
        return write(folder, step, step);
    }

    static Manifest write(RunFolder folder, long step, long seed) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            State state = State.of(arena, folder.specification(), seed);
            CheckpointWriter writer =
                    new CheckpointWriter(folder, scalars(step), Manifest.NO_PARENT);
            for (int chunk = 0; chunk < state.grid().size(); chunk++) {
                state.addTo(writer, chunk);
            }
            return writer.publish();
        }
    }
}
