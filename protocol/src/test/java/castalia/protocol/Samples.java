package castalia.protocol;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Vote;
import java.util.ArrayList;
import java.util.List;

/** Values that tests share; the golden bytes are of these. */
public final class Samples {

    private Samples() {}

    /** A small shape: two layers, four heads. */
    public static ModelShape shape() {
        return new ModelShape(2, 64, 4, 256, 128, 32, 4, 10_000, 1e-5, true, Gelu.TANH, 1);
    }

    public static TrainingPlan plan() {
        return TrainingPlan.builder(
                        shape(), new LearningRateSchedule.NeoxV1(1e-3, 1e-4, 1.5, 150))
                .tensorSlices(2)
                .virtualRanks(4)
                .globalBatch(16)
                .microBatch(2)
                .sequence(32)
                .precision(Precision.BF16)
                .trainSteps(150)
                .build();
    }

    public static DataManifest data() {
        return DataManifest.ofKind("token-file")
                .with("train.0.sha256", "ab".repeat(32))
                .with("train.0.tokens", "123456")
                .with("order", "neox-v1.0");
    }

    public static RunSpecification specification() {
        return plan().specification(data(), "test-1");
    }

    /** A specification that takes the other alternative wherever there is one. */
    public static RunSpecification other() {
        ModelShape shape =
                new ModelShape(3, 48, 3, 100, 77, 16, 0, 500.5, 1e-6, false, Gelu.ERF, 4);
        return TrainingPlan.builder(
                        shape, new LearningRateSchedule.NeoxCurrent(2e-3, 0, 0, 1L << 40))
                .sequence(5)
                .precision(Precision.FP16)
                .lossScaler(LossScaler.Dynamic.published())
                .optimizer(new OptimizerSettings(0, 0.999, 1e-12, 0, 0))
                .seed(-1)
                .initialisation(new Initialisation.FromFolder("0f".repeat(32)))
                .build()
                .specification(DataManifest.ofKind("synthetic"), "π");
    }

    /** The manifest of a state of {@link #shape}. */
    public static Manifest manifest() {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(shape(), 2));
        List<ChunkEntry> entries = new ArrayList<>();
        for (Chunk chunk : grid.chunks()) {
            entries.add(new ChunkEntry(
                    chunk,
                    "%064x".formatted(chunk.index() + 1),
                    12L * chunk.length(),
                    new StateDigest(chunk.index() * 0x9E3779B97F4A7C15L, -chunk.index())));
        }
        return Manifest.of(
                "c0ffee00".repeat(8),
                "test-1",
                new ScalarState(7, 6, 4096, 7, 3, 2),
                Manifest.NO_PARENT,
                entries);
    }

    public static Vote vote() {
        return new Vote(
                1,
                41,
                List.of(
                        new Vote.HeldChunk(0, new StateDigest(1, -1), 0.25),
                        new Vote.HeldChunk(3, StateDigest.ZERO, Double.POSITIVE_INFINITY)),
                List.of(new Vote.LossSum(0, 1234.5), new Vote.LossSum(1, Double.NaN)));
    }
}
