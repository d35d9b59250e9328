package castalia.actors;

import akka.cluster.Member;
import castalia.actors.watch.Addresses;
import java.util.Set;
import java.util.stream.StreamSupport;

/**
 * Whether a node may keep its name. Of two members with one name the younger loses; all members
 * agree who that is.
 */
final class NodeNames {

    private NodeNames() {}

    /** What the membership says of a name. */
    sealed interface Verdict {

        /** Nobody older has it. */
        record Free() implements Verdict {}

        /** An older member has it. */
        record Taken(String by) implements Verdict {}

        /** An older member had it and cannot be reached: it may be removed soon. */
        record Unsure(String by) implements Verdict {}
    }

    static Verdict verdict(
            String name, Member self, Iterable<Member> members, Set<Member> unreachable) {
        String role = ActorConfiguration.NAME_ROLE + name;
        return StreamSupport.stream(members.spliterator(), false)
                .filter(member -> member.hasRole(role) && !member.equals(self)
                        && member.isOlderThan(self))
                .findFirst()
                .<Verdict>map(other -> unreachable.contains(other)
                        ? new Verdict.Unsure(Addresses.text(other.address()))
                        : new Verdict.Taken(Addresses.text(other.address())))
                .orElseGet(Verdict.Free::new);
    }
}
