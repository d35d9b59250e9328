package castalia.actors.run;

import castalia.actors.heartbeat.Heartbeats;
import castalia.protocol.identity.Claimant;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunStorage;
import java.util.function.Consumer;

/**
 * What coordinators of a run are made of. Consumers are called by actors and must not block.
 *
 * @param logic makes the state machine
 * @param storage the durable part; its looks at terms are called beside its other methods
 * @param build fingerprint of the program
 * @param claimant this process in its claims
 * @param job what the run is, for processes that come later; the same on every candidate
 * @param news hears what happens under this process's coordinator
 * @param end hears how the run ended, on every candidate that hears of it
 * @param heartbeats tell others that this process leads, and watch others; stay the caller's
 */
public record RunParts(
        RunLogic.Factory logic,
        RunStorage storage,
        String build,
        Claimant claimant,
        String job,
        Consumer<RunNews> news,
        Consumer<End> end,
        Heartbeats heartbeats) {

    /** How a run ended, here or under another process's coordinator. */
    public sealed interface End {

        /** This process's coordinator ended it. */
        record Here(RunResult result) implements End {}

        /** Another process's coordinator ended it. */
        record Elsewhere(long term, RunResult result) implements End {}

        /** This process gave up leading after failing again and again. */
        record GaveUp(String why) implements End {}
    }
}
