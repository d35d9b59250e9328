package castalia.actors.wire;

import castalia.protocol.ErrorCode;
import castalia.protocol.run.RunResult;

/** A run's result as short fields; its kind comes first. */
final class ResultFields {

    private static final int FINISHED = 1;
    private static final int STOPPED = 2;
    private static final int FAILED = 3;
    private static final int DEPOSED = 4;

    private ResultFields() {}

    static void write(FieldWriter out, RunResult result) {
        switch (result) {
            case RunResult.Finished(long step, String state, String digest) ->
                out.number(FINISHED).number(step).text(state).text(digest);
            case RunResult.Stopped(long step, String state) ->
                out.number(STOPPED).number(step).text(state);
            case RunResult.Failed(ErrorCode code, String message) ->
                out.number(FAILED).number(code.exitCode()).text(message);
            case RunResult.Deposed(long newer) -> out.number(DEPOSED).number(newer);
        }
    }

    static RunResult read(FieldReader in) {
        int kind = in.count();
        return switch (kind) {
            case FINISHED -> new RunResult.Finished(in.number(), in.text(), in.text());
            case STOPPED -> new RunResult.Stopped(in.number(), in.text());
            case FAILED -> new RunResult.Failed(code(in.count()), in.text());
            case DEPOSED -> new RunResult.Deposed(in.number());
            default -> throw new IllegalArgumentException("a result of kind " + kind);
        };
    }

    private static ErrorCode code(int exitCode) {
        return ErrorCode.ofExitCode(exitCode).orElseThrow(() ->
                new IllegalArgumentException("no error has the code " + exitCode));
    }
}
