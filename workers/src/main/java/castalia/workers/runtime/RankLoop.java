package castalia.workers.runtime;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.VirtualRanks;
import castalia.workers.data.BatchReader;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.StepReport;
import castalia.workers.rank.TrainingRank;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What a worker does on its rank's thread: obeys messages between steps, and steps. Whatever waits
 * for others may end with the exceptions of the transport; {@link #leave} is to be called then.
 */
final class RankLoop implements AutoCloseable {

    private static final Duration LESSON_WAIT = Duration.ofMillis(5);

    private final WorkerParts parts;
    private final Incarnation self;
    private final Consumer<WorkerMessage> outbox;
    private final TrainingRank rank;
    private final StoredSteps stored;
    private final Feeder feeder;
    private final Lessons lessons;
    private final Installer installer;
    private final StepTimes times;
    private @Nullable Membership member;
    private @Nullable BatchReader reader;
    private VirtualRanks.@Nullable Block read;
    private Optional<CoordinatorMessage.Pause> learnerPause = Optional.empty();
    private long validated = -1;
    private boolean waits;

    /** Allocates the rank; its device is made here. */
    RankLoop(WorkerParts parts) {
        this.parts = parts;
        this.self = parts.registration().member().incarnation();
        this.outbox = parts.outbox();
        this.times = new StepTimes(parts.leastPatience());
        this.rank = new TrainingRank(parts.settings(), parts.device().get());
        this.stored = new StoredSteps(parts.settings().grid(), parts.checkpoints());
        this.feeder = new Feeder(parts.plane());
        this.lessons = new Lessons(parts.plane(), rank, parts.settings().grid(), stored);
        this.installer = new Installer(parts);
    }

    /** Whether there is something to do without a message. */
    boolean stepping() {
        Membership now = member;
        return now != null && now.stepping() && !waits;
    }

    /** Whether frames of others, or room for frames to others, are waited for. */
    boolean attentive() {
        return lessons.active() || feeder.busy();
    }

    /**
     * Obeys a message.
     *
     * @param over whether what the message begins is over
     */
    void obey(CoordinatorMessage message, BooleanSupplier over) {
        switch (message) {
            case CoordinatorMessage.Query(Fence fence) -> report(fence);
            case CoordinatorMessage.Install(GenerationPlan plan) -> install(plan, over);
            case CoordinatorMessage.Start(Fence fence) -> start(fence);
            case CoordinatorMessage.Pause pause -> {
                Membership now = of(pause.fence());
                if (now != null) {
                    now.pause(pause);
                } else {
                    learnerPause = Optional.of(pause);
                }
            }
            case CoordinatorMessage.Feed feed -> {
                if (of(feed.fence()) != null) {
                    feeder.begin(feed, stored.unpublished());
                }
            }
            case CoordinatorMessage.Learn learn -> lessons.begin(learn);
            case CoordinatorMessage.Saved(_, long step) -> {
                stored.published(step);
                waits = false;
            }
            case CoordinatorMessage.FlipBit flip -> {
                boolean _ = rank.flip(flip.element(), flip.bit()); // a rank may have nothing to flip
            }
            case CoordinatorMessage.Dismiss _ -> endGeneration();
        }
    }

    private @Nullable Membership of(Fence fence) {
        Membership now = member;
        return now != null && now.fence().equals(fence) ? now : null;
    }

    private void report(Fence fence) {
        leave();
        lessons.absorb(Duration.ZERO);
        endGeneration();
        outbox.accept(new WorkerMessage.Reported(rank.report(fence, self)));
    }

    /** Leaves the generation; what is held stays, and so do lessons. */
    void leave() {
        member = null;
        waits = false;
        feeder.end();
        rank.leave();
        stored.leave();
    }

    private void endGeneration() {
        leave();
        lessons.end();
        learnerPause = Optional.empty();
    }

    private void install(GenerationPlan plan, BooleanSupplier over) {
        endGeneration();
        int number = plan.rankOf(self);
        if (number < 0) {
            throw new IllegalArgumentException(
                    "this worker is no member of generation " + plan.fence());
        }
        if (plan.start() instanceof GenerationPlan.Start.Memory(var scalars, var update, _)) {
            update.ifPresent(committed -> rank.rollForward(committed, scalars));
        }
        times.newGeneration();
        Transport transport = parts.plane().join(
                plan.fence(), plan.members(), number, times::patience, suspicions(plan.fence()));
        rank.install(plan.fence().generation(), plan.placement(), transport, over);
        installer.bring(rank, plan.start(), plan.gather());
        readFor(rank.block());
        member = new Membership(plan, transport);
        outbox.accept(new WorkerMessage.Installed(plan.fence(), self));
    }

    private DataPlane.Suspicions suspicions(Fence fence) {
        return (about, broken, what) -> {
            if (!broken) {
                times.suspected();
            }
            outbox.accept(new WorkerMessage.Suspects(
                    fence, self, about.incarnation(), broken, what));
        };
    }

    private void readFor(VirtualRanks.Block block) {
        if (!block.equals(read)) {
            closeReader();
            if (block.count() > 0) {
                reader = new BatchReader(parts.train(), block, parts.dataDeadline());
            }
            read = block;
        }
    }

    private void closeReader() {
        BatchReader last = reader;
        reader = null;
        read = null;
        if (last != null) {
            last.close();
        }
    }

    private void start(Fence fence) {
        Membership now = of(fence);
        if (now != null && now.start()) {
            validated = -1;
            rank.dropOthers();
            stored.unpublished().forEach(step -> StoredSteps.say(step, fence, outbox));
        }
    }

    /** Takes in lessons and, where the generation steps, passes one boundary and one step. */
    void advance() {
        lessons.absorb(Duration.ZERO);
        if (lessons.caughtUp()) {
            outbox.accept(new WorkerMessage.CaughtUp(lessons.fence(), self, lessons.version()));
        }
        Membership now = member;
        if (now == null) {
            pauseLearner();
        } else if (now.stepping()) {
            boundary(now);
        } else {
            feeder.boundary(rank);
        }
    }

    private void pauseLearner() {
        learnerPause.filter(asked -> lessons.active() && asked.fence().equals(lessons.fence())
                && lessons.reached(asked.step())).ifPresent(asked -> {
                    learnerPause = Optional.empty();
                    outbox.accept(
                            new WorkerMessage.Paused(asked.fence(), self, asked.step()));
                });
    }

    private void boundary(Membership now) {
        long version = rank.scalars().step();
        boolean last = version >= parts.totalSteps();
        Optional<CoordinatorMessage.Pause> pause = now.pauseAt(version);
        boolean due = parts.due().test(version) || last
                || pause.filter(CoordinatorMessage.Pause::save).isPresent();
        waits = due && now.lacks(version) && stored.full();
        if (waits) {
            feeder.boundary(rank);
            return;
        }
        if (due || pause.isPresent() || feeder.busy() || validates(version, last)) {
            rank.settle();
        }
        if (due && now.lacks(version)) {
            stored.begin(rank);
        }
        validate(now, version, last);
        feeder.boundary(rank);
        if (pause.isPresent() || last) {
            store(now);
        }
        if (pause.isPresent()) {
            if (lessons.reached(version)) {
                now.stop();
                outbox.accept(new WorkerMessage.Paused(now.fence(), self, version));
            } else {
                lessons.absorb(LESSON_WAIT);
            }
        } else if (last) {
            StateDigest digest = Boundary.digest(rank, now);
            now.stop();
            outbox.accept(new WorkerMessage.Finished(now.fence(), self, version, digest));
        } else {
            step(now);
        }
    }

    /** Ends what the boundary began: before the step is voted on, or at once where none follows. */
    private void store(Membership now) {
        if (!stored.writing()) {
            return;
        }
        StoredSteps.Step step = stored.finish(rank, now);
        now.stored(step.scalars().step());
        feeder.stored(step);
        if (rank.rank() == 0) {
            StoredSteps.say(step, now.fence(), outbox);
        }
    }

    private boolean validates(long version, boolean last) {
        return version != 0 && version != validated && parts.validation()
                .filter(v -> last || version % v.interval() == 0).isPresent();
    }

    private void validate(Membership now, long version, boolean last) {
        if (!validates(version, last)) {
            return;
        }
        WorkerParts.Validation validation = parts.validation().orElseThrow();
        double loss = Boundary.validate(rank, now, validation, parts.settings().plan());
        validated = version;
        if (rank.rank() == 0) {
            outbox.accept(new WorkerMessage.Validated(now.fence(), version, loss));
        }
    }

    private void step(Membership now) {
        BatchSource source = reader == null ? parts.train() : reader;
        long start = System.nanoTime();
        StepReport report = rank.step(
                source, () -> store(now), verdict -> feeder.committed(rank, verdict));
        times.took(System.nanoTime() - start);
        outbox.accept(new WorkerMessage.Stepped(now.fence(), self, progress(report)));
    }

    private Progress progress(StepReport report) {
        DataPlane.Counters counters = parts.plane().counters();
        StepReport.Times t = report.times();
        return new Progress(report.step(), report.loss(), report.gradientNorm(),
                report.learningRate(), report.stateBefore(), report.sequences(),
                report.scaling(),
                new Progress.Totals(rank.sequences(), counters.sentBytes(),
                        counters.receivedBytes(), counters.staleFrames(), installer.diskBytes()),
                new Progress.Nanos(t.data(), t.forward(), t.backward(), t.reduction(),
                        t.optimizer(), t.waited()));
    }

    /** A peer was lost to the transport itself: says so and leaves the generation. */
    void lost(PeerLostException loss) {
        Membership now = member;
        if (now != null) {
            List<Member> members = now.plan().members();
            if (loss.peer() >= 0 && loss.peer() < members.size()) {
                outbox.accept(new WorkerMessage.Suspects(now.fence(), self,
                        members.get(loss.peer()).incarnation(), true,
                        Failures.message(loss)));
            }
        }
        leave();
    }

    @Override
    public void close() {
        try {
            lessons.close();
            closeReader();
        } finally {
            rank.close();
        }
    }
}
