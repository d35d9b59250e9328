package castalia.protocol.run;

import castalia.protocol.identity.Claimant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a process does that may lead a run: it follows whoever claimed the newest term, has that
 * process asked whether it lives, and claims the next term at once when it does not. Whoever loses a
 * claim follows the winner. That only one leads rests on the exclusive record of the term.
 *
 * <pre>
 * phase      event                                          next       effects
 * ---------  ---------------------------------------------  ---------  ------------------------
 * Following  look                                           Following  read the newest claim
 *            read: another leads a term not followed yet    Following  watch it
 *            read: nobody can be asked about the term       Claiming   claim the next
 *            read: nobody ever led, twice, and first        Claiming   claim the first
 *            the leader that is followed is lost            Claiming   claim the next
 *            its cluster does not list it for too long      Over       give up
 * Claiming   won                                            Leading    coordinate
 *            lost, or failed                                Following  the next look finds who
 * Leading    the coordinator is deposed and stops           Following  look
 *            the coordinator fails                          Following  look; too often: give up
 *            the coordinator ended the run                  Over       tell the others
 * any        another's coordinator of no older term ended   Over       end
 *            this process leaves                            Over
 * </pre>
 */
public final class Candidacy {

    /** Looks at a run that nobody ever led before the first in line claims it. */
    static final int PATIENCE = 2;

    /** Coordinators of this process that may fail. */
    static final int MOST_FAILURES = 5;

    /** Looks at a leader that lives and is in no cluster with this process. */
    static final int MOST_APART = 60;

    private final Claimant self;

    /** @param self this process in its claims */
    public Candidacy(Claimant self) {
        this.self = self;
    }

    /** What a candidate is doing. */
    public enum Phase {
        /** Looks who leads, and follows. */
        FOLLOWING,
        /** Waits for what becomes of its claim. */
        CLAIMING,
        /** Its coordinator runs. */
        LEADING,
        /** The run is over, or this process takes no part any more. */
        OVER
    }

    /**
     * Where a candidate stands.
     *
     * @param known newest term it knows of
     * @param followed the term whose leader it has watched, 0 for none
     * @param looks how often it found that nobody ever led
     * @param apart looks in a row at a leader that its cluster does not list
     * @param listed whether its cluster lists a coordinator
     * @param failures coordinators of its own that failed
     * @param reading whether a look is under way
     * @param deposed whether its coordinator was
     */
    public record State(
            Phase phase,
            long known,
            long followed,
            int looks,
            int apart,
            boolean listed,
            int failures,
            boolean reading,
            boolean deposed) {}

    /** A state and what must be done now, in order. */
    public record Transition(State state, List<CandidacyEffect> effects) {
        public Transition {
            effects = List.copyOf(effects);
        }
    }

    /** Where every candidate begins. */
    public State begin() {
        return new State(Phase.FOLLOWING, 0, 0, 0, 0, false, 0, false, false);
    }

    /** What an event leads to. */
    public Transition next(State state, CandidacyEvent event) {
        Draft draft = new Draft(state);
        switch (event) {
            case CandidacyEvent.Look() -> draft.look();
            case CandidacyEvent.Read(Optional<RunStorage.Claim> newest, boolean first) ->
                draft.read(newest, first);
            case CandidacyEvent.Unread() -> draft.reading = false;
            case CandidacyEvent.Listed(boolean any) -> draft.listed = any;
            case CandidacyEvent.LeaderLost(long term, String how) -> draft.lost(term, how);
            case CandidacyEvent.Claimed(Optional<Long> term) -> draft.claimed(term);
            case CandidacyEvent.ClaimFailed(String why) -> {
                draft.claimEnds();
                draft.effects.add(new CandidacyEffect.Warn("no term could be claimed: " + why));
            }
            case CandidacyEvent.Lead() -> draft.claim(Long.MAX_VALUE);
            case CandidacyEvent.Ended(long term, RunResult result) -> draft.ended(term, result);
            case CandidacyEvent.Stopped() -> draft.stopped();
            case CandidacyEvent.RunOver(long term, RunResult result) -> draft.over(term, result);
            case CandidacyEvent.Retired() -> {
                draft.phase = Phase.OVER;
                draft.effects.add(new CandidacyEffect.Rest());
            }
        }
        return draft.transition();
    }

    private final class Draft {

        private final List<CandidacyEffect> effects = new ArrayList<>();
        private Phase phase;
        private long known;
        private long followed;
        private int looks;
        private int apart;
        private boolean listed;
        private int failures;
        private boolean reading;
        private boolean deposed;

        Draft(State state) {
            phase = state.phase();
            known = state.known();
            followed = state.followed();
            looks = state.looks();
            apart = state.apart();
            listed = state.listed();
            failures = state.failures();
            reading = state.reading();
            deposed = state.deposed();
        }

        Transition transition() {
            return new Transition(new State(phase, known, followed, looks, apart, listed, failures,
                    reading, deposed), effects);
        }

        void look() {
            if (phase != Phase.FOLLOWING || reading) {
                return;
            }
            apart = followed > 0 && !listed ? apart + 1 : 0;
            if (apart > MOST_APART) {
                giveUp("this node is not in the cluster of the run's leader any more; start it again");
                return;
            }
            reading = true;
            effects.add(new CandidacyEffect.ReadNewest());
        }

        void read(Optional<RunStorage.Claim> newest, boolean first) {
            reading = false;
            newest.ifPresent(claim -> known = Math.max(known, claim.term()));
            if (phase != Phase.FOLLOWING) {
                return;
            }
            if (newest.isPresent()) {
                follow(newest.get());
                return;
            }
            looks++;
            if (looks >= PATIENCE && known == 0 && first) {
                claim(0);
            }
        }

        private void follow(RunStorage.Claim newest) {
            long term = newest.term();
            if (term == followed) {
                return;
            }
            unfollow();
            Optional<Claimant> leader = newest.by()
                    .filter(by -> !by.incarnation().equals(self.incarnation()));
            if (leader.isEmpty()) {
                claim(term); // it was this one, or nobody knows who
                return;
            }
            followed = term;
            effects.add(new CandidacyEffect.Watch(term, leader.get()));
            effects.add(new CandidacyEffect.Say(new RunNews.Led(term, leader.get().node())));
        }

        private void unfollow() {
            followed = 0;
            effects.add(new CandidacyEffect.Unwatch());
        }

        void lost(long term, String how) {
            if (term == followed && phase == Phase.FOLLOWING) {
                effects.add(new CandidacyEffect.Warn("term " + term + ": " + how));
                claim(term);
            }
        }

        void claim(long than) {
            if (phase == Phase.FOLLOWING) {
                phase = Phase.CLAIMING;
                effects.add(new CandidacyEffect.Claim(than));
            }
        }

        void claimEnds() {
            if (phase == Phase.CLAIMING) {
                phase = Phase.FOLLOWING;
            }
            unfollow();
        }

        void claimed(Optional<Long> won) {
            claimEnds();
            if (won.isEmpty() || phase == Phase.OVER) {
                return; // somebody else leads: the next look finds who
            }
            phase = Phase.LEADING;
            known = won.get();
            effects.add(new CandidacyEffect.Coordinate(known));
            effects.add(new CandidacyEffect.Say(new RunNews.Led(known, self.node())));
        }

        void ended(long term, RunResult result) {
            if (result instanceof RunResult.Deposed) {
                deposed = true; // the winner is followed
                return;
            }
            phase = Phase.OVER;
            effects.add(new CandidacyEffect.EndHere(term, result));
        }

        /** The coordinator of this process stopped: deposed, done, or failed by a defect. */
        void stopped() {
            effects.add(new CandidacyEffect.Rest());
            boolean failed = !deposed;
            deposed = false;
            if (phase == Phase.OVER) {
                return;
            }
            phase = Phase.FOLLOWING;
            if (failed) {
                failures++;
                if (failures >= MOST_FAILURES) {
                    giveUp(failures + " coordinators of this process stopped before the run's end");
                }
            }
            look();
        }

        void over(long term, RunResult result) {
            if (phase != Phase.OVER && term >= known) {
                phase = Phase.OVER;
                effects.add(new CandidacyEffect.EndElsewhere(term, result));
            }
        }

        private void giveUp(String why) {
            phase = Phase.OVER;
            effects.add(new CandidacyEffect.GiveUp(why));
        }
    }
}
