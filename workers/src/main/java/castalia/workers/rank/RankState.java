package castalia.workers.rank;

import castalia.protocol.control.Committed;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.workers.state.HeldChunks;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What a rank holds of a run's state, and of which version each part is. Nothing here exchanges
 * anything, so that an update once begun is finished.
 */
final class RankState {

    private final HeldChunks held;
    private final ComputeWeights compute;
    private final UpdateRule rule;
    private final LossScaler scaler;
    private ScalarState scalars;
    private boolean everSet;
    private long weightsVersion = TrainingRank.INCOMPLETE;
    private @Nullable Committed committed;
    private @Nullable Saving saving;

    RankState(HeldChunks held, ComputeWeights compute, UpdateRule rule, LossScaler scaler) {
        this.held = held;
        this.compute = compute;
        this.rule = rule;
        this.scaler = scaler;
        this.scalars = scaler.initial();
    }

    HeldChunks held() {
        return held;
    }

    ComputeWeights compute() {
        return compute;
    }

    UpdateRule rule() {
        return rule;
    }

    LossScaler scaler() {
        return scaler;
    }

    ScalarState scalars() {
        return scalars;
    }

    /** The scalar state after a committed step. */
    ScalarState after(ScalarState before, Verdict.Outcome outcome) {
        return switch (scaler.after(before, outcome instanceof Verdict.Skip)) {
            case LossScaler.Updated(ScalarState next) -> next;
            case LossScaler.Abort abort -> throw new IllegalStateException(
                    abort + " was taken for a committed step");
        };
    }

    /**
     * Makes a scalar state current, before or after chunks of its step are set. A committed step
     * that is not before it is forgotten: it will be computed again.
     */
    void begin(ScalarState state) {
        everSet = true;
        scalars = state;
        Committed last = committed;
        if (last != null && last.step() >= state.step()) {
            committed = null;
        }
    }

    /** As {@link #begin}, where the tensors of some chunks were set. */
    void loaded(ScalarState state, int[] chunks) {
        begin(state);
        for (int chunk : chunks) {
            held.loaded(chunk, state.step());
        }
    }

    /** As {@link #begin}, where some chunks are of its step already; see {@link TrainingRank#resume}. */
    void resume(ScalarState state, int[] chunks) {
        for (int chunk : chunks) {
            if (held.version(chunk) != state.step()) {
                throw new IllegalStateException("chunk " + chunk + " is at version "
                        + held.version(chunk) + " where the generation starts at "
                        + state.step() + " (-1: it is not here)");
            }
        }
        begin(state);
    }

    /** Makes a scalar state current that is newer than the one before, as learnt chunks do. */
    void follow(ScalarState state) {
        if (!everSet || state.step() > scalars.step()) {
            begin(state);
        }
    }

    /** A step that others committed. */
    void heardOf(Committed step) {
        Committed last = committed;
        if (last == null || last.step() < step.step()) {
            committed = step;
        }
    }

    /**
     * Finishes an update that others committed and this rank did not come to apply: it voted, so
     * it has the gradients.
     *
     * @param leave leaves the generation, which must not read what changes; called before
     */
    void finishCommitted(Runnable leave) {
        Committed last = committed;
        if (everSet && last != null && last.step() == scalars.step()) {
            leave.run();
            rollForward(last, after(scalars, last.verdict()));
        }
    }

    /** What is being stored reads the chunks held until it is finished or ended. */
    void save(Saving begun) {
        endSaving();
        saving = begun;
    }

    /** Waits for what is being stored, if anything. */
    void finishSaving() {
        Saving begun = saving;
        if (begun != null) {
            saving = null;
            begun.finish();
        }
    }

    /** Ends what is being stored, if anything: chunks may change from now on. */
    void endSaving() {
        Saving begun = saving;
        saving = null;
        if (begun != null) {
            begun.close();
        }
    }

    /**
     * Version of the complete compute weights, or {@link TrainingRank#INCOMPLETE}: also where those of a
     * chunk held are its master weights and these are of another version.
     */
    long weightsVersion() {
        return held.placedAreAt(weightsVersion) ? weightsVersion : TrainingRank.INCOMPLETE;
    }

    /**
     * To be called before chunks held take other places: finished gradients are forgotten, and that
     * compute weights are incomplete is remembered.
     */
    void displace() {
        held.forgetGradients();
        weightsVersion = weightsVersion();
    }

    /** The compute weights are about to change. */
    void weightsIncomplete() {
        weightsVersion = TrainingRank.INCOMPLETE;
    }

    /** All weights that this rank computes with are those of the scalar state. */
    void weightsComplete() {
        weightsVersion = scalars.step();
    }

    /** Rounds the weights of those of some chunks that anybody needs in another compute type. */
    void cast(int[] chunks) {
        weightsIncomplete();
        for (int chunk : chunks) {
            if (compute.rounds(chunk)) {
                held.cast(chunk, compute.of(chunk));
            }
        }
    }

    /** The step of the scalar state is committed: from now on it is only rolled forward. */
    void commit(Verdict.Outcome outcome) {
        committed = new Committed(scalars.step(), outcome);
    }

    /** Applies the committed update to {@code chunks}; returns the learning rate used. */
    double apply(int[] chunks, Verdict.Apply update) {
        UpdateRule.Scalars with = rule.after(scalars.appliedUpdates(), update.gradientFactor());
        weightsIncomplete();
        apply(chunks, with);
        scalars = after(scalars, update);
        return with.rate();
    }

    /** The committed skip of {@code chunks}, whose compute weights are complete and stay. */
    void skip(int[] chunks, Verdict.Skip skip) {
        for (int chunk : chunks) {
            held.skip(chunk);
        }
        scalars = after(scalars, skip);
        weightsComplete();
    }

    /** Finishes a committed step on every chunk that has its gradient and is still before it. */
    void rollForward(Committed step, ScalarState after) {
        switch (step.verdict()) {
            case Verdict.Apply update -> {
                UpdateRule.Scalars with =
                        rule.after(after.appliedUpdates() - 1, update.gradientFactor());
                int[] chunks = Arrays.stream(held.chunks())
                        .filter(chunk -> isBefore(step, chunk)).toArray();
                if (chunks.length > 0) {
                    weightsIncomplete();
                    apply(chunks, with);
                }
            }
            case Verdict.Skip _ -> {
                for (int chunk : held.chunks()) {
                    if (isBefore(step, chunk)) {
                        held.skip(chunk);
                    }
                }
                if (weightsVersion == step.step()) {
                    weightsVersion = after.step();
                }
            }
        }
        committed = step;
        begin(after);
    }

    private boolean isBefore(Committed step, int chunk) {
        return held.version(chunk) == step.step() && held.finished(chunk);
    }

    private void apply(int[] chunks, UpdateRule.Scalars with) {
        held.apply(chunks, with.decaying(), with.plain(), compute::of);
    }

    /** Sum of the digests of some chunks. */
    StateDigest digest(int[] chunks) {
        StateDigest sum = StateDigest.ZERO;
        for (int chunk : chunks) {
            sum = sum.plus(held.digest(chunk));
        }
        return sum;
    }

    HolderReport report(Fence fence, Incarnation worker) {
        List<Held> chunks = new ArrayList<>();
        for (int chunk : held.chunks()) {
            if (held.version(chunk) != HeldChunks.NOT_SET) {
                chunks.add(new Held(chunk, held.version(chunk), held.finished(chunk),
                        held.digest(chunk)));
            }
        }
        return new HolderReport(fence, worker,
                everSet ? Optional.of(scalars) : Optional.empty(), chunks,
                compute.windowed() ? TrainingRank.INCOMPLETE : weightsVersion(),
                compute.views().space().slices(),
                Optional.ofNullable(committed));
    }
}
