package castalia.protocol.control;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import java.util.List;

/** What the coordinator says to a worker. A worker that has seen a newer fence ignores it. */
public sealed interface CoordinatorMessage {

    /** The generation it belongs to. */
    Fence fence();

    /** Stop acting for older generations and report what you hold. */
    record Query(Fence fence) implements CoordinatorMessage {}

    /** Take your place in a generation. */
    record Install(GenerationPlan plan) implements CoordinatorMessage {
        @Override
        public Fence fence() {
            return plan.fence();
        }
    }

    /** All have installed: step. */
    record Start(Fence fence) implements CoordinatorMessage {}

    /**
     * Stop at the boundary before a step. A learner has stopped when its chunks are at that step.
     *
     * @param save whether to store the state there
     */
    record Pause(Fence fence, long step, boolean save) implements CoordinatorMessage {}

    /** To an owner: send a learner these chunks and, from then on, their gradients. */
    record Feed(Fence fence, Member learner, List<Integer> chunks) implements CoordinatorMessage {
        public Feed {
            chunks = List.copyOf(chunks);
        }
    }

    /** To a learner: what its feeders will send. */
    record Learn(Fence fence, List<Integer> chunks) implements CoordinatorMessage {
        public Learn {
            chunks = List.copyOf(chunks);
        }
    }

    /** A checkpoint is published: what is kept to say again that it is stored may be forgotten. */
    record Saved(Fence fence, long step) implements CoordinatorMessage {}

    /** You are no part of the run any more: end. */
    record Dismiss(Fence fence, String reason) implements CoordinatorMessage {

        /** The reason where nothing is wrong. */
        public static final String OVER = "the run is over";
    }

    /**
     * For fault-injection tests: flip one bit of the weights that are computed with at the next
     * boundary; in fp32 those of chunks held are a part of the state.
     */
    record FlipBit(Fence fence, long element, int bit) implements CoordinatorMessage {}

}
