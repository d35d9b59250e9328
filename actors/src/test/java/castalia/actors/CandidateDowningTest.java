package castalia.actors;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.Address;
import akka.cluster.Member;
import akka.cluster.MemberStatus;
import akka.cluster.UniqueAddress;
import akka.util.Version;
import castalia.actors.CandidateDowning.Verdict;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import scala.jdk.javaapi.CollectionConverters;

class CandidateDowningTest {

    private static final Member FIRST = member(1, ProcessSettings.Kind.CANDIDATE);
    private static final Member SECOND = member(2, ProcessSettings.Kind.CANDIDATE);
    private static final Member AGENT = member(3, ProcessSettings.Kind.AGENT);
    private static final Member WORKER = member(4, ProcessSettings.Kind.WORKER);
    private static final List<Member> ALL = List.of(FIRST, SECOND, AGENT, WORKER);

    private static Member member(int port, ProcessSettings.Kind kind) {
        scala.collection.immutable.Set<String> roles =
                CollectionConverters.asScala(Set.of(kind.role(), "dc-default")).toSet();
        return new Member(new UniqueAddress(
                        new Address("akka", ActorConfiguration.SYSTEM, "127.0.0.1", port), (long) port),
                port, MemberStatus.up(), roles, Version.Zero());
    }

    @Test
    void nobodyIsRemovedWhereEverybodyIsReached() {
        assertThat(CandidateDowning.verdict(ALL, Set.of())).isEqualTo(Verdict.NOTHING);
    }

    @Test
    void whoeverReachesACandidateGoesOnWithoutTheOthers() {
        assertThat(CandidateDowning.verdict(ALL, Set.of(WORKER))).isEqualTo(Verdict.REMOVE_THEM);
        assertThat(CandidateDowning.verdict(ALL, Set.of(FIRST, WORKER)))
                .isEqualTo(Verdict.REMOVE_THEM);
        assertThat(CandidateDowning.verdict(ALL, Set.of(SECOND, AGENT)))
                .isEqualTo(Verdict.REMOVE_THEM);
    }

    @Test
    void whoeverReachesNoneEnds() {
        assertThat(CandidateDowning.verdict(ALL, Set.of(FIRST, SECOND))).isEqualTo(Verdict.END_SELF);
        assertThat(CandidateDowning.verdict(List.of(AGENT, WORKER), Set.of(AGENT)))
                .isEqualTo(Verdict.END_SELF);
    }
}
