package castalia.workers.rank;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.Scaling;
import castalia.protocol.step.Verdict;
import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.Vote;
import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import castalia.workers.data.BatchSource;
import castalia.workers.state.HeldChunks;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** The parts of a step, in order, and their times. */
final class RankStep {

    private final TrainingPlan plan;
    private final RankState state;
    private final BatchWork work;
    private long reductionNanos;
    private long waitedBefore;

    RankStep(TrainingPlan plan, RankState state, BatchWork work) {
        this.plan = plan;
        this.state = state;
        this.work = work;
    }

    /** Leaves the finished gradient of every held chunk. */
    void gradients(BatchSource source, GenerationLinks links) {
        work.requireShape(source);
        ScalarState scalars = state.scalars();
        long step = scalars.step();
        if (state.weightsVersion() != step && !links.weights().brings(step)) {
            throw new IllegalStateException("compute weights of version " + state.weightsVersion()
                    + " for step " + step);
        }
        if (links.block.count() == 0) {
            links.weights().settle(); // no pass takes them
        }
        state.held().forgetGradients();
        float scale = (float) (scalars.lossScale() / plan.tokensPerMicroBatch());
        work.startClocks();
        waitedBefore = links.transport().waitedNanos();
        long start = System.nanoTime();
        int last = links.block.count() == 0 ? -1 : links.block.at(links.block.count() - 1);
        links.reduce(step, (virtualRank, into, layerDone) -> work.gradient(source, step,
                virtualRank, virtualRank != last, into, scale, links::requireCurrent, layerDone));
        reductionNanos = System.nanoTime() - start - work.dataNanos();
    }

    /** Exchanges votes about the gradients. */
    Verdict vote(GenerationLinks links) {
        state.finishSaving();
        long start = System.nanoTime();
        ScalarState scalars = state.scalars();
        HeldChunks held = state.held();
        double[] squares = held.squares(links.heldChunks);
        List<HeldChunk> chunks = new ArrayList<>(squares.length);
        for (int i = 0; i < squares.length; i++) {
            int chunk = links.heldChunks[i];
            chunks.add(new HeldChunk(chunk, held.digest(chunk), squares[i]));
        }
        VirtualRanks.Block block = links.block;
        List<LossSum> losses = new ArrayList<>(block.count());
        int spoken = links.speaks() ? block.count() : 0;
        if (spoken > 0) {
            work.readLosses();
        }
        for (int i = 0; i < spoken; i++) {
            losses.add(new LossSum(block.at(i), work.lossSum(block.at(i))));
        }
        double mean = 1 / (scalars.lossScale() * plan.microBatches());
        Verdict verdict = links.vote(
                new Vote(links.transport().rank(), scalars.step(), chunks, losses),
                plan.tokensPerStep(), mean, plan.optimizer().clip());
        reductionNanos += System.nanoTime() - start;
        return verdict;
    }

    /** Does what all ranks agreed on. */
    StepReport carryOut(
            Verdict verdict, GenerationLinks links, Consumer<Verdict.Outcome> whenCommitted) {
        ScalarState before = state.scalars();
        long step = before.step();
        return switch (verdict) {
            case Verdict.Apply apply -> {
                long start = System.nanoTime();
                state.commit(apply);
                links.weights().withdraw();
                whenCommitted.accept(apply);
                state.weightsIncomplete();
                links.weights().expect(step + 1);
                double rate = state.apply(links.heldChunks, apply);
                links.weights().exchange(step + 1, state::weightsComplete);
                yield report(before, apply, apply.norm(), rate, links, System.nanoTime() - start);
            }
            case Verdict.Skip skip -> {
                requireCommittable(before, skip);
                long start = System.nanoTime();
                state.commit(skip);
                whenCommitted.accept(skip);
                links.weights().withdraw();
                state.skip(links.heldChunks, skip);
                links.weights().skipped(state.scalars().step());
                links.transport().drain();
                double rate = state.rule().after(before.appliedUpdates(), 1).rate();
                yield report(before, skip, Double.NaN, rate, links, System.nanoTime() - start);
            }
            case Verdict.Corrupt corrupt -> throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED,
                    "step " + step + ": ranks " + corrupt.ranks() + " hold different "
                            + corrupt.what() + "s of chunk " + corrupt.chunk()
                            + ": memory or processor of one of them is faulty, nobody knows of "
                            + "which. Resume from the newest checkpoint");
        };
    }

    /** A gradient that is not finite ends a run, unless the loss scale may shrink. */
    private void requireCommittable(ScalarState before, Verdict.Skip skip) {
        boolean scaled = !(state.scaler() instanceof LossScaler.None);
        if (!scaled || state.scaler().after(before, true) instanceof LossScaler.Abort) {
            String why = scaled
                    ? " with the smallest loss scale allowed, " + before.lossScale()
                    : "";
            throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED, "step " + before.step()
                    + ": the gradient is not finite" + why + " (loss " + skip.loss()
                    + "); the state before the step is unharmed. Lower the learning rate "
                    + "or resume from an earlier checkpoint");
        }
    }

    /** Rounds held weights and brings every rank those of the scalar state's version. */
    void gather(GenerationLinks links) {
        WeightPath weights = links.weights();
        links.withdrawWeights();
        state.cast(links.heldChunks);
        weights.expect(state.scalars().step());
        weights.exchange(state.scalars().step(), state::weightsComplete);
        weights.settle();
        links.transport().drain();
    }

    private StepReport report(
            ScalarState before, Verdict.Outcome outcome, double norm, double rate,
            GenerationLinks links, long optimizerNanos) {
        long forward = work.takeForwardNanos();
        long backward = work.takeBackwardNanos();
        Optional<Scaling> scaling = plan.lossScaler() instanceof LossScaler.None
                ? Optional.empty()
                : Optional.of(new Scaling(before.lossScale(), outcome instanceof Verdict.Skip,
                        state.scalars().step() - state.scalars().appliedUpdates()));
        return new StepReport(before.step(), outcome.loss(), norm, rate, outcome.state(),
                links.speaks() ? links.block.count() * plan.sequencesPerVirtualRank() : 0, scaling,
                new StepReport.Times(work.dataNanos(), forward, backward,
                        reductionNanos - forward - backward, optimizerNanos,
                        links.transport().waitedNanos() - waitedBefore));
    }
}
