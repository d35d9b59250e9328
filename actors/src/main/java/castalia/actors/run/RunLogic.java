package castalia.actors.run;

import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import java.util.List;

/** What decides: the run's state machine under one term. It is called by one thread at a time. */
public interface RunLogic {

    /** What is to be done first. */
    List<RunEffect> start();

    /** Takes note of an event. */
    List<RunEffect> on(RunEvent event);

    /** Makes a machine for each term that is won. */
    @FunctionalInterface
    interface Factory {
        RunLogic create(long term);
    }
}
