package castalia.actors.message;

import castalia.protocol.run.RunResult;

/** What candidates for the coordinator's place tell each other. */
public sealed interface CandidateTraffic extends Traffic {

    /**
     * The run is over: nobody needs to take it over.
     *
     * @param term of the coordinator that ended it; one of an older term does not know
     */
    record RunOver(long term, RunResult result) implements CandidateTraffic {}
}
