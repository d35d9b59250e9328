package castalia.deploy.parity;

import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.TensorMap;
import castalia.checkpoints.hub.HubFolder;
import castalia.checkpoints.hub.Safetensors;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.ArrayBatches;
import castalia.workers.data.BatchShape;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.StepReport;
import castalia.workers.rank.TrainingRank;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * Trains a fixture's model with the classes of every training run and compares: logits, every
 * gradient, each step's loss and norm, final weights.
 */
public final class Parity {

    /** Bound of logits and gradients, relative to the tensor's largest magnitude. */
    private static final double FIRST_STEP = 2e-5;

    /** Absolute bound of losses and of norms. */
    private static final double LOSS = 1e-4;

    /** Bound of final weights, relative to the tensor's largest magnitude. */
    private static final double WEIGHTS = 1e-3;

    /**
     * The key part of the dimensions of {@code query_key_value.bias} that are not rotated has a
     * zero gradient in exact arithmetic: it shifts all scores of a row alike. AdamW amplifies what
     * rounding leaves, so this part is bounded absolutely, the rest of the tensor relatively.
     */
    private static final double QKV_BIAS = 5e-3;

    private static final Duration DEADLINE = Duration.ofMinutes(5);

    /**
     * How to run.
     *
     * @param tensorSlices T
     * @param virtualRanks V; divides the batch
     * @param layout how the ranks of this process divide work and state
     * @param recomputation what is computed again
     */
    public record Options(
            int tensorSlices, int virtualRanks, ParallelLayout layout,
            Recomputation recomputation) {}

    private Parity() {}

    /**
     * Compares a fixture.
     *
     * @param devices makes the device of a rank
     */
    public static List<ParityRow> compare(
            ParityFixture fixture, Options options, IntFunction<Device> devices)
            throws IOException {
        RankSettings settings = settings(fixture, options);
        BatchShape shape = new BatchShape(fixture.batch(), options.virtualRanks(),
                fixture.batch() / options.virtualRanks(), fixture.sequence());
        ArrayBatches source = new ArrayBatches(fixture.tokens().toArray(int[][][]::new), shape,
                fixture.shape().vocabulary());
        List<ArrayBatches> sources = Collections.nCopies(options.layout().ranks(), source);
        List<ParityRow> rows = new ArrayList<>();
        try (RankGroup group =
                        new RankGroup(settings, options.layout(), devices, DEADLINE);
                HubFolder model = HubFolder.open(fixture.folder());
                Safetensors reference = Safetensors.open(fixture.reference())) {
            StateTransfer.load(group, model.weights(settings.grid().layout()));
            rows.add(logits(group, fixture, reference));
            group.onAll(rank -> {
                rank.gradients(sources.get(rank.rank()));
                return rank;
            });
            rows.addAll(gradients(group, reference));
            train(group, fixture, sources, rows);
        }
        return rows;
    }

    private static RankSettings settings(ParityFixture fixture, Options options) {
        List<ParityFixture.Step> steps = fixture.steps();
        if (fixture.batch() % options.virtualRanks() != 0) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, options.virtualRanks()
                    + " virtual ranks do not divide the fixture's batch of " + fixture.batch());
        }
        try {
            options.layout().require(options.virtualRanks(), options.tensorSlices());
            TrainingPlan plan = TrainingPlan.builder(
                            fixture.shape(), new LearningRateSchedule.Constant(1e-3, 0))
                    .tensorSlices(options.tensorSlices())
                    .virtualRanks(options.virtualRanks())
                    .globalBatch(fixture.batch())
                    .microBatch(fixture.batch() / options.virtualRanks())
                    .sequence(fixture.sequence())
                    .optimizer(fixture.optimizer())
                    .trainSteps(steps.size())
                    .build();
            return RankSettings.of(plan, options.recomputation())
                    .with(n -> steps.get((int) n).learningRate());
        } catch (IllegalArgumentException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "cannot run the fixture " + fixture.folder() + ": " + e.getMessage(), e);
        }
    }

    private static ParityRow logits(
            RankGroup group, ParityFixture fixture, Safetensors reference) throws IOException {
        float[] expected = Tensors.floats(reference, "logits");
        int vocabulary = fixture.shape().vocabulary();
        int batch = group.settings().plan().microBatch();
        int sequence = fixture.sequence();
        float[] ours = new float[fixture.batch() * sequence * vocabulary];
        try (Arena arena = Arena.ofShared()) {
            MemorySegment out = arena.allocate(4L * batch * sequence * vocabulary, 64);
            MemorySegment inputs = arena.allocate(4L * batch * sequence, 64);
            for (int first = 0; first < fixture.batch(); first += batch) {
                for (int i = 0; i < batch * sequence; i++) {
                    inputs.setAtIndex(ValueLayout.JAVA_INT, i,
                            fixture.tokens().getFirst()[first + i / sequence][i % sequence]);
                }
                group.onAll(rank -> {
                    if (group.placement().replica(rank.rank()) == 0) { // each its columns
                        rank.logits(out, inputs, 0, batch * sequence);
                    }
                    return rank;
                });
                MemorySegment.copy(out, ValueLayout.JAVA_FLOAT, 0, ours,
                        first * sequence * vocabulary, batch * sequence * vocabulary);
            }
        }
        return ParityRow.of("logits", ours, expected, FIRST_STEP);
    }

    private static List<ParityRow> gradients(RankGroup group, Safetensors reference)
            throws IOException {
        float mean = 1f / group.settings().plan().microBatches();
        List<ParityRow> rows = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment flat = arena.allocate(
                    4 * group.settings().grid().layout().elements(), 64);
            for (Chunk chunk : group.settings().grid().chunks()) {
                TrainingRank owner = group.owner(chunk.index());
                owner.bytes().download(flat.asSlice(4 * chunk.offset(), 4L * chunk.length()),
                        owner.finishedGradient(chunk.index()));
            }
            for (Parameter p : NeoxParameters.of(group.settings().plan().model())) {
                float[] ours = tensor(group, FlatWeights.of(flat), p);
                for (int i = 0; i < ours.length; i++) {
                    ours[i] *= mean;
                }
                rows.add(ParityRow.of("grad." + p.name(), ours,
                        Tensors.floats(reference, "grad." + p.name()), FIRST_STEP));
            }
        }
        return rows;
    }

    private static void train(
            RankGroup group, ParityFixture fixture, List<ArrayBatches> sources,
            List<ParityRow> rows) throws IOException {
        for (int s = 0; s < fixture.steps().size(); s++) {
            ParityFixture.Step expected = fixture.steps().get(s);
            StepReport report = group.step(sources).getFirst();
            rows.add(ParityRow.of("loss of step " + s, report.loss(), expected.loss(), LOSS));
            rows.add(new ParityRow("norm of step " + s,
                    Math.abs(report.gradientNorm() - expected.gradientNorm()),
                    Math.abs(report.gradientNorm() / expected.gradientNorm() - 1), WEIGHTS,
                    false));
        }
        Optional<java.nio.file.Path> trained = fixture.trained();
        if (trained.isEmpty()) {
            return;
        }
        FlatWeights ours = StateTransfer.weights(group);
        try (Safetensors reference = Safetensors.open(trained.get())) {
            for (Parameter p : NeoxParameters.of(fixture.shape())) {
                weights(rows, fixture.shape(), p, tensor(group, ours, p),
                        Tensors.floats(reference, p.name()));
            }
        }
    }

    private static void weights(
            List<ParityRow> rows, ModelShape shape, Parameter p, float[] ours, float[] reference) {
        if (p.role() != Role.QKV_BIAS) {
            rows.add(ParityRow.of("final " + p.name(), ours, reference, WEIGHTS));
            return;
        }
        int d = shape.headDimension();
        int rotary = shape.rotaryDimensions();
        if (rotary < d) {
            rows.add(ParityRow.of("final " + p.name() + " (keys, not rotated)", ours, reference,
                    QKV_BIAS, d + rotary, d - rotary, 3 * d, true));
        }
        float[] rest = ours.clone();
        for (int i = 0; i < rest.length; i++) {
            int within = i % (3 * d);
            if (within >= d + rotary && within < 2 * d) {
                rest[i] = reference[i];
            }
        }
        rows.add(ParityRow.of("final " + p.name() + " (rest)", rest, reference, QKV_BIAS));
    }

    private static float[] tensor(RankGroup group, FlatWeights flat, Parameter p)
            throws IOException {
        FlatLayout layout = group.settings().grid().layout();
        float[] values = new float[Math.toIntExact(p.elements())];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment whole = arena.allocate(4 * p.elements(), 64);
            new TensorMap(layout).gather(flat, p, 0, whole);
            MemorySegment.copy(whole, ValueLayout.JAVA_FLOAT, 0, values, 0, values.length);
        }
        return values;
    }
}
