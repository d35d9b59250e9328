package castalia.protocol.run;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.Candidacy.Phase;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class CandidacyTest {

    private static final Claimant SELF = claimant("a", 1);
    private static final Claimant OTHER = claimant("b", 2);
    private static final RunResult DONE = new RunResult.Stopped(7, "h");

    private final Candidacy candidacy = new Candidacy(SELF);
    private Candidacy.State state = candidacy.begin();

    private static Claimant claimant(String node, long id) {
        return new Claimant(new Incarnation(id), node, "127.0.0.1", 4000, "pid " + id);
    }

    private List<CandidacyEffect> on(CandidacyEvent event) {
        Candidacy.Transition transition = candidacy.next(state, event);
        state = transition.state();
        return transition.effects();
    }

    private List<CandidacyEffect> read(Claimant by, long term) {
        return on(new CandidacyEvent.Read(
                Optional.of(new RunStorage.Claim(term, Optional.of(by))), false));
    }

    private List<CandidacyEffect> readNone(boolean first) {
        return on(new CandidacyEvent.Read(Optional.empty(), first));
    }

    private void lead(long term) {
        on(new CandidacyEvent.Lead());
        assertThat(on(new CandidacyEvent.Claimed(Optional.of(term))))
                .contains(new CandidacyEffect.Coordinate(term));
        assertThat(state.phase()).isEqualTo(Phase.LEADING);
    }

    @Test
    void oneLookAtATime() {
        assertThat(on(new CandidacyEvent.Look()))
                .containsExactly(new CandidacyEffect.ReadNewest());
        assertThat(on(new CandidacyEvent.Look())).isEmpty();
        on(new CandidacyEvent.Unread());
        assertThat(on(new CandidacyEvent.Look()))
                .containsExactly(new CandidacyEffect.ReadNewest());
    }

    @Test
    void whereNobodyEverLedTheFirstInLineClaimsAtTheSecondLook() {
        assertThat(readNone(true)).isEmpty();
        assertThat(readNone(false)).isEmpty();
        assertThat(readNone(true)).containsExactly(new CandidacyEffect.Claim(0));
        assertThat(state.phase()).isEqualTo(Phase.CLAIMING);
        assertThat(on(new CandidacyEvent.Claimed(Optional.of(1L)))).containsExactly(
                new CandidacyEffect.Unwatch(), new CandidacyEffect.Coordinate(1),
                new CandidacyEffect.Say(new RunNews.Led(1, "a")));
    }

    @Test
    void theNewestLeaderIsWatchedOnceAndItsTermClaimedWhenItIsLost() {
        assertThat(read(OTHER, 4)).containsExactly(new CandidacyEffect.Unwatch(),
                new CandidacyEffect.Watch(4, OTHER),
                new CandidacyEffect.Say(new RunNews.Led(4, "b")));
        assertThat(read(OTHER, 4)).isEmpty();
        assertThat(read(claimant("c", 3), 5)).contains(
                new CandidacyEffect.Watch(5, claimant("c", 3)));
        assertThat(on(new CandidacyEvent.LeaderLost(4, "late news"))).isEmpty();
        assertThat(on(new CandidacyEvent.LeaderLost(5, "silent"))).containsExactly(
                new CandidacyEffect.Warn("term 5: silent"), new CandidacyEffect.Claim(5));
        assertThat(on(new CandidacyEvent.LeaderLost(5, "again"))).isEmpty();
        assertThat(on(new CandidacyEvent.Lead())).as("a claim is under way").isEmpty();
    }

    @Test
    void whoLosesAClaimOrCannotMakeItLooksAgain() {
        read(OTHER, 4);
        on(new CandidacyEvent.LeaderLost(4, "silent"));
        assertThat(on(new CandidacyEvent.Claimed(Optional.empty())))
                .containsExactly(new CandidacyEffect.Unwatch());
        assertThat(state.phase()).isEqualTo(Phase.FOLLOWING);
        assertThat(read(OTHER, 4)).as("it is asked anew").contains(
                new CandidacyEffect.Watch(4, OTHER));
        on(new CandidacyEvent.LeaderLost(4, "silent"));
        assertThat(on(new CandidacyEvent.ClaimFailed("no disk"))).contains(
                new CandidacyEffect.Warn("no term could be claimed: no disk"));
        assertThat(state.phase()).isEqualTo(Phase.FOLLOWING);
    }

    @Test
    void aTermOfThisProcessOrOfNobodyKnownIsFollowedByAnother() {
        assertThat(read(SELF, 4)).contains(new CandidacyEffect.Claim(4));
        on(new CandidacyEvent.Claimed(Optional.empty()));
        assertThat(on(new CandidacyEvent.Read(
                Optional.of(new RunStorage.Claim(6, Optional.empty())), false)))
                .contains(new CandidacyEffect.Claim(6));
    }

    @Test
    void whoLeadsLooksAtNothingUntilItIsDeposedAndThenFollows() {
        lead(3);
        assertThat(on(new CandidacyEvent.Look())).isEmpty();
        assertThat(read(OTHER, 4)).isEmpty();
        assertThat(on(new CandidacyEvent.Ended(3, new RunResult.Deposed(4)))).isEmpty();
        assertThat(on(new CandidacyEvent.Stopped())).containsExactly(
                new CandidacyEffect.Rest(), new CandidacyEffect.ReadNewest());
        assertThat(read(OTHER, 4)).contains(new CandidacyEffect.Watch(4, OTHER));
        assertThat(state.failures()).isZero();
    }

    @Test
    void coordinatorsThatFailAreReplacedUntilTheyAreTooMany() {
        for (int i = 1; i < Candidacy.MOST_FAILURES; i++) {
            lead(i);
            assertThat(on(new CandidacyEvent.Stopped())).containsExactly(
                    new CandidacyEffect.Rest(), new CandidacyEffect.ReadNewest());
            on(new CandidacyEvent.Unread());
        }
        lead(9);
        assertThat(on(new CandidacyEvent.Stopped())).containsExactly(
                new CandidacyEffect.Rest(), new CandidacyEffect.GiveUp(
                        "5 coordinators of this process stopped before the run's end"));
        assertThat(on(new CandidacyEvent.Lead())).isEmpty();
    }

    @Test
    void theEndIsToldByWhoLedAndHeardByOthersUnlessItIsOld() {
        lead(3);
        assertThat(on(new CandidacyEvent.RunOver(2, DONE))).isEmpty();
        assertThat(on(new CandidacyEvent.Ended(3, DONE)))
                .containsExactly(new CandidacyEffect.EndHere(3, DONE));
        assertThat(on(new CandidacyEvent.RunOver(4, DONE))).isEmpty();
        assertThat(on(new CandidacyEvent.Stopped()))
                .containsExactly(new CandidacyEffect.Rest());
        state = candidacy.begin();
        read(OTHER, 4);
        assertThat(on(new CandidacyEvent.RunOver(3, DONE))).isEmpty();
        assertThat(on(new CandidacyEvent.RunOver(4, DONE)))
                .containsExactly(new CandidacyEffect.EndElsewhere(4, DONE));
        assertThat(on(new CandidacyEvent.LeaderLost(4, "gone"))).isEmpty();
        assertThat(on(new CandidacyEvent.Look())).isEmpty();
    }

    @Test
    void aTermThatIsWonAfterTheEndIsNotLed() {
        on(new CandidacyEvent.Lead());
        assertThat(on(new CandidacyEvent.Retired())).containsExactly(new CandidacyEffect.Rest());
        assertThat(on(new CandidacyEvent.Claimed(Optional.of(1L))))
                .containsExactly(new CandidacyEffect.Unwatch());
        assertThat(state.phase()).isEqualTo(Phase.OVER);
    }

    @Test
    void whoseClusterDoesNotListTheLeaderForLongGivesUp() {
        read(OTHER, 4);
        for (int i = 0; i < Candidacy.MOST_APART; i++) {
            assertThat(on(new CandidacyEvent.Look()))
                    .containsExactly(new CandidacyEffect.ReadNewest());
            read(OTHER, 4);
        }
        on(new CandidacyEvent.Listed(true));
        on(new CandidacyEvent.Look());
        assertThat(state.apart()).isZero();
        read(OTHER, 4);
        on(new CandidacyEvent.Listed(false));
        for (int i = 0; i < Candidacy.MOST_APART; i++) {
            on(new CandidacyEvent.Look());
            read(OTHER, 4);
        }
        assertThat(on(new CandidacyEvent.Look())).singleElement()
                .isInstanceOf(CandidacyEffect.GiveUp.class);
    }
}
