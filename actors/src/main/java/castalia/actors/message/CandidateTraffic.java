package castalia.actors.message;

/** What candidates for the coordinator's place tell each other. */
public sealed interface CandidateTraffic extends Traffic {

    /**
     * The run is over: nobody needs to take it over.
     *
     * @param term of the coordinator that ended it
     */
    record RunOver(long term, String how) implements CandidateTraffic {}
}
