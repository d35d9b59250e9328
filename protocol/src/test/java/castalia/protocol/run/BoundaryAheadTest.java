package castalia.protocol.run;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.StateDigest;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How far ahead the boundary is to which members are to step. */
class BoundaryAheadTest {

    private static final RunMachine MACHINE = new RunMachine(new RunSettings(SimulatedRun.RUN,
            "nv", "build", SimulatedRun.GRID, SimulatedRun.VIRTUAL_RANKS, 1,
            LayoutWish.USUAL, 1000, RunSettings.Patience.USUAL));
    private static final Member ONE = new Member(new Incarnation(1), "w1", "n", 100,
            new Endpoint("127.0.0.1", 1, Optional.empty()));

    private RunState state = MACHINE.begin(1).state();
    private List<RunEffect> effects = List.of();

    private void happens(RunEvent event) {
        RunMachine.Transition next = MACHINE.next(state, event);
        state = next.state();
        effects = next.effects();
    }

    private void says(WorkerMessage message) {
        happens(new RunEvent.FromWorker(message));
    }

    private List<CoordinatorMessage.Pause> pauses() {
        return effects.stream()
                .filter(e -> e instanceof RunEffect.Send(_, CoordinatorMessage.Pause _))
                .map(e -> (CoordinatorMessage.Pause) ((RunEffect.Send) e).message()).toList();
    }

    private void running() {
        says(new WorkerMessage.Registered(
                ONE, SimulatedRun.RUN, "nv", "build", "cpu", Fence.NONE));
        says(new WorkerMessage.Reported(new HolderReport(state.fence(), ONE.incarnation(),
                Optional.empty(), List.of(), -1, SliceBlock.NONE, Optional.empty())));
        happens(new RunEvent.CheckpointFound(state.fence(), Optional.empty()));
        says(new WorkerMessage.Installed(state.fence(), ONE.incarnation()));
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
    }

    private void stepped(long step, long millis) {
        says(new WorkerMessage.Stepped(state.fence(), ONE.incarnation(), new Progress(
                step, 5, 1, 1e-3, StateDigest.ZERO, 4, new Progress.Totals(4, 0, 0, 0, 0),
                new Progress.Nanos(0, millis * 1_000_000, 0, 0, 0, 0))));
    }

    @ParameterizedTest
    @CsvSource({"1, 200", "50, 4", "100, 2", "60000, 2"})
    void aLayoutAskedForBeforeTheFirstStepWaitsUntilItIsKnownHowLongAStepTakes(
            long millis, long ahead) {
        running();
        happens(new RunEvent.LayoutRequested(new LayoutWish(1, 1, 0, 0)));
        assertThat(pauses()).isEmpty();
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
        stepped(0, millis);
        assertThat(pauses()).containsExactly(
                new CoordinatorMessage.Pause(state.fence(), 1 + ahead, false));
    }

    @Test
    void soDoesAStop() {
        running();
        happens(new RunEvent.StopRequested());
        assertThat(pauses()).isEmpty();
        stepped(0, 60_000);
        assertThat(pauses()).containsExactly(
                new CoordinatorMessage.Pause(state.fence(), 3, true));
    }
}
