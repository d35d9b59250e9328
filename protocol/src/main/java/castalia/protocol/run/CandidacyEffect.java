package castalia.protocol.run;

import castalia.protocol.identity.Claimant;

/** What a candidate must do; see {@link Candidacy}. */
public sealed interface CandidacyEffect {

    /** Read the newest claim. */
    record ReadNewest() implements CandidacyEffect {}

    /** Claim the next term unless one newer than {@code than} is claimed already. */
    record Claim(long than) implements CandidacyEffect {}

    /** Ask who claimed a term whether it lives. */
    record Watch(long term, Claimant leader) implements CandidacyEffect {}

    /** Ask nobody any more. */
    record Unwatch() implements CandidacyEffect {}

    /** Start the coordinator of a term. */
    record Coordinate(long term) implements CandidacyEffect {}

    /** Say to nobody any more that this process leads. */
    record Rest() implements CandidacyEffect {}

    /** Say who leads. */
    record Say(RunNews news) implements CandidacyEffect {}

    /** Log something that is not as it should be. */
    record Warn(String what) implements CandidacyEffect {}

    /** Tell the other candidates that this process's coordinator ended the run, and end here. */
    record EndHere(long term, RunResult result) implements CandidacyEffect {}

    /** End here: another process's coordinator ended the run. */
    record EndElsewhere(long term, RunResult result) implements CandidacyEffect {}

    /** End here, though the run has not. */
    record GiveUp(String why) implements CandidacyEffect {}
}
