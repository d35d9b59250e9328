package castalia.deploy.cluster;

import castalia.actors.run.RunLogic;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunMachine;
import castalia.protocol.run.RunSettings;
import castalia.protocol.run.RunState;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The run's state machine under one term, with the state it is in. */
final class MachineLogic implements RunLogic {

    private final RunMachine machine;
    private final long term;
    private @Nullable RunState state;

    MachineLogic(RunSettings settings, long term) {
        this.machine = new RunMachine(settings);
        this.term = term;
    }

    @Override
    public List<RunEffect> start() {
        return taken(machine.begin(term));
    }

    @Override
    public List<RunEffect> on(RunEvent event) {
        RunState before = state;
        if (before == null) {
            throw new IllegalStateException("an event before the start of term " + term);
        }
        return taken(machine.next(before, event));
    }

    private List<RunEffect> taken(RunMachine.Transition transition) {
        state = transition.state();
        return transition.effects();
    }
}
