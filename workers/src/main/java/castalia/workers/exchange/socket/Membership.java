package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.DataPlane.Suspicions;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;

/** Who is in a generation, and whom to tell of silence. */
record Membership(
        Fence fence,
        List<Member> members,
        int rank,
        Supplier<Duration> patience,
        Suspicions suspicions) {

    Membership {
        members = List.copyOf(members);
        Objects.checkIndex(rank, members.size());
        if (members.stream().map(Member::incarnation).distinct().count() < members.size()) {
            throw new IllegalArgumentException("a member twice in " + members);
        }
    }
}
