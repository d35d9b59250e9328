package castalia.protocol.control;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.step.ScalarState;
import java.util.List;
import java.util.Optional;

/**
 * One agreed membership and placement, and where its members continue from.
 *
 * @param fence its term and generation
 * @param members the ranks, by number
 * @param placement who computes and holds what
 * @param start where the state comes from
 * @param gather whether some member lacks the compute weights of the start, so that owners send them
 * @param saved newest published checkpoint, or -1: a due step after it is saved before going on
 */
public record GenerationPlan(
        Fence fence,
        List<Member> members,
        Placement placement,
        Start start,
        boolean gather,
        long saved) {

    /** Where the state of a generation comes from. */
    public sealed interface Start {

        /** Nothing was computed yet: the specification says what the state is. */
        record Initial() implements Start {}

        /**
         * Every chunk's holders have it.
         *
         * @param scalars the state all go on from, after rolling forward
         * @param rollForward an update that holders at the version before must apply first
         * @param moves what holders that lack a chunk are sent before anybody goes on
         */
        record Memory(
                ScalarState scalars, Optional<Committed> rollForward, List<ReshardPlan.Move> moves)
                implements Start {
            public Memory {
                moves = List.copyOf(moves);
            }
        }

        /** The checkpoint of a completed step, read by every holder for itself. */
        record Checkpoint(long step) implements Start {}
    }

    public GenerationPlan {
        members = List.copyOf(members);
        if (members.size() != placement.ranks()) {
            throw new IllegalArgumentException(
                    members.size() + " members for " + placement.ranks() + " ranks");
        }
        if (start instanceof Start.Memory memory) {
            for (ReshardPlan.Move move : memory.moves()) {
                if (move.end() > placement.chunks() || move.from() >= placement.ranks()
                        || move.to() >= placement.ranks()) {
                    throw new IllegalArgumentException(move + " among " + placement.chunks()
                            + " chunks and " + placement.ranks() + " ranks");
                }
            }
        }
    }

    /** The rank of a worker, or -1 if it is no member. */
    public int rankOf(Incarnation worker) {
        for (int r = 0; r < members.size(); r++) {
            if (members.get(r).incarnation().equals(worker)) {
                return r;
            }
        }
        return -1;
    }
}
