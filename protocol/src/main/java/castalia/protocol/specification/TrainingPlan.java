package castalia.protocol.specification;

import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;

/**
 * What a user asks for: a run specification without the data that was found and the numeric
 * version that will compute it.
 *
 * @param model shape of the model
 * @param tensorSlices T, the fixed parts of a layer: a power of two
 * @param virtualRanks V, the fixed parts of the global batch
 * @param globalBatch sequences of one step
 * @param microBatch sequences that go through forward and backward at once
 * @param sequence tokens of a sequence
 * @param precision compute type
 * @param optimizer AdamW and clipping
 * @param schedule learning rate
 * @param lossScaler loss scale; dynamic or fixed where the precision is fp16, none otherwise
 * @param trainSteps steps of the run
 * @param seed of weights and sample order
 * @param initialisation weights before the first step
 */
public record TrainingPlan(
        ModelShape model,
        int tensorSlices,
        int virtualRanks,
        int globalBatch,
        int microBatch,
        int sequence,
        Precision precision,
        OptimizerSettings optimizer,
        LearningRateSchedule schedule,
        LossScaler lossScaler,
        long trainSteps,
        long seed,
        Initialisation initialisation) {

    /** Most virtual ranks. */
    public static final int MOST_VIRTUAL_RANKS = 1 << 16;

    private static final int LARGEST_BATCH = 1 << 24;

    public TrainingPlan {
        Problems problems = new Problems();
        problems.check("tensor-slices", () -> FlatLayout.requireSlices(model, tensorSlices));
        between(problems, "global-batch", globalBatch, LARGEST_BATCH);
        between(problems, "micro-batch", microBatch, LARGEST_BATCH);
        between(problems, "virtual-ranks", virtualRanks, MOST_VIRTUAL_RANKS);
        between(problems, "train-iters", trainSteps, Long.MAX_VALUE >> 24);
        if (!problems.hasErrors()) {
            parts(problems, globalBatch, virtualRanks, microBatch);
        }
        if (sequence < 1 || sequence > model.maxPositions()) {
            problems.error("seq-length", sequence
                    + " must lie between 1 and max-position-embeddings " + model.maxPositions());
        } else if ((long) microBatch * sequence > Integer.MAX_VALUE) {
            problems.error("micro-batch", microBatch + " sequences of " + sequence
                    + " tokens exceed " + Integer.MAX_VALUE + " tokens at once");
        }
        boolean scaled = !(lossScaler instanceof LossScaler.None);
        if (scaled != (precision == Precision.FP16)) {
            problems.error("precision", precision + (scaled
                    ? " needs no loss scaling; only FP16 does"
                    : " needs loss scaling"));
        }
        problems.throwIfErrors();
    }

    private static void between(Problems problems, String key, long value, long largest) {
        if (value < 1 || value > largest) {
            problems.error(key, value + " must lie between 1 and " + largest);
        }
    }

    private static void parts(
            Problems problems, int globalBatch, int virtualRanks, int microBatch) {
        if (globalBatch % virtualRanks != 0) {
            problems.error("virtual-ranks", virtualRanks + " must divide the global batch of "
                    + globalBatch + " sequences");
        } else if (globalBatch / virtualRanks % microBatch != 0) {
            problems.error("micro-batch", microBatch + " must divide the "
                    + globalBatch / virtualRanks + " sequences of a virtual rank (global batch "
                    + globalBatch + " / " + virtualRanks + " virtual ranks)");
        }
    }

    /** The specification of the run that follows this plan on {@code data}. */
    public RunSpecification specification(DataManifest data, String numericVersion) {
        return new RunSpecification(this, data, numericVersion);
    }

    /** Micro-batches of one virtual rank in one step. */
    public int microBatchesPerVirtualRank() {
        return globalBatch / virtualRanks / microBatch;
    }

    /** Micro-batches of one step. */
    public int microBatches() {
        return globalBatch / microBatch;
    }

    /** Sequences of one virtual rank in one step. */
    public int sequencesPerVirtualRank() {
        return globalBatch / virtualRanks;
    }

    /** Tokens of one step. */
    public long tokensPerStep() {
        return (long) globalBatch * sequence;
    }

    /** Tokens of one micro-batch. */
    public int tokensPerMicroBatch() {
        return microBatch * sequence;
    }

    /** A builder with the published optimizer, fp32, seed 1234, T = V = 1, one step. */
    public static Builder builder(ModelShape model, LearningRateSchedule schedule) {
        return new Builder(model, schedule);
    }

    /** A builder that starts from this plan. */
    public Builder toBuilder() {
        return new Builder(model, schedule)
                .tensorSlices(tensorSlices)
                .virtualRanks(virtualRanks)
                .globalBatch(globalBatch)
                .microBatch(microBatch)
                .sequence(sequence)
                .precision(precision)
                .optimizer(optimizer)
                .lossScaler(lossScaler)
                .trainSteps(trainSteps)
                .seed(seed)
                .initialisation(initialisation);
    }

    /** Sets the parts of a plan one by one. */
    public static final class Builder {

        private ModelShape model;
        private LearningRateSchedule schedule;
        private int tensorSlices = 1;
        private int virtualRanks = 1;
        private int globalBatch = 1;
        private int microBatch = 1;
        private int sequence;
        private Precision precision = Precision.FP32;
        private OptimizerSettings optimizer = OptimizerSettings.published();
        private LossScaler lossScaler = new LossScaler.None();
        private long trainSteps = 1;
        private long seed = 1234;
        private Initialisation initialisation = Initialisation.Drawn.published();

        private Builder(ModelShape model, LearningRateSchedule schedule) {
            this.model = model;
            this.schedule = schedule;
            this.sequence = model.maxPositions();
        }

        public Builder model(ModelShape value) {
            model = value;
            return this;
        }

        public Builder schedule(LearningRateSchedule value) {
            schedule = value;
            return this;
        }

        public Builder tensorSlices(int value) {
            tensorSlices = value;
            return this;
        }

        public Builder virtualRanks(int value) {
            virtualRanks = value;
            return this;
        }

        public Builder globalBatch(int value) {
            globalBatch = value;
            return this;
        }

        public Builder microBatch(int value) {
            microBatch = value;
            return this;
        }

        public Builder sequence(int value) {
            sequence = value;
            return this;
        }

        public Builder precision(Precision value) {
            precision = value;
            return this;
        }

        public Builder optimizer(OptimizerSettings value) {
            optimizer = value;
            return this;
        }

        public Builder lossScaler(LossScaler value) {
            lossScaler = value;
            return this;
        }

        public Builder trainSteps(long value) {
            trainSteps = value;
            return this;
        }

        public Builder seed(long value) {
            seed = value;
            return this;
        }

        public Builder initialisation(Initialisation value) {
            initialisation = value;
            return this;
        }

        /**
         * The plan.
         *
         * @throws ProblemsException with everything that does not fit together
         */
        public TrainingPlan build() {
            return new TrainingPlan(
                    model, tensorSlices, virtualRanks, globalBatch, microBatch, sequence,
                    precision, optimizer, schedule, lossScaler, trainSteps, seed, initialisation);
        }
    }
}
