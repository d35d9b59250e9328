package castalia.protocol.run;

import castalia.protocol.ErrorCode;

/** How a run ended. */
public sealed interface RunResult {

    /** In words, for people. */
    default String words() {
        return switch (this) {
            case Finished(long step, String state, String digest) ->
                    "finished after step " + step + ", state " + state + ", digest " + digest;
            case Stopped(long step, String state) ->
                    "stopped after step " + step + (state.isEmpty() ? "" : ", state " + state);
            case Failed(ErrorCode _, String message) -> "failed: " + message;
            case Deposed(long newer) -> "led by another since term " + newer;
        };
    }

    /** All steps are done and stored. */
    record Finished(long step, String stateHash, String digest) implements RunResult {}

    /** Stopped as asked, with a checkpoint of this step. */
    record Stopped(long step, String stateHash) implements RunResult {}

    /** It cannot go on. What is stored stays. */
    record Failed(ErrorCode code, String message) implements RunResult {}

    /** Another coordinator has it. */
    record Deposed(long newerTerm) implements RunResult {}
}
