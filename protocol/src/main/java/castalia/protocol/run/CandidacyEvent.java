package castalia.protocol.run;

import java.util.Optional;

/** What happens to a candidate; see {@link Candidacy}. */
public sealed interface CandidacyEvent {

    /** It is time to look who leads. */
    record Look() implements CandidacyEvent {}

    /**
     * The newest claim was read.
     *
     * @param newest empty if nobody ever claimed
     * @param first whether this candidate is the first in line then
     */
    record Read(Optional<RunStorage.Claim> newest, boolean first) implements CandidacyEvent {}

    /** The newest claim could not be read. */
    record Unread() implements CandidacyEvent {}

    /** Whether the cluster lists any coordinator. */
    record Listed(boolean any) implements CandidacyEvent {}

    /** Who claimed a term does not lead it any more. */
    record LeaderLost(long term, String how) implements CandidacyEvent {}

    /** A claim came to an end: with this term, or somebody else has it. */
    record Claimed(Optional<Long> term) implements CandidacyEvent {}

    /** A claim could not be made. */
    record ClaimFailed(String why) implements CandidacyEvent {}

    /** Lead now if nobody else does, whoever is first in line. */
    record Lead() implements CandidacyEvent {}

    /** This process's coordinator ended the run, or was deposed. */
    record Ended(long term, RunResult result) implements CandidacyEvent {}

    /** This process's coordinator is there no more. */
    record Stopped() implements CandidacyEvent {}

    /** Another candidate says that its coordinator ended the run. */
    record RunOver(long term, RunResult result) implements CandidacyEvent {}

    /** This process leaves. */
    record Retired() implements CandidacyEvent {}
}
