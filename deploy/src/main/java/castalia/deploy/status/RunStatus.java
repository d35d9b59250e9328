package castalia.deploy.status;

import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What a run does at one moment, for people: nobody trains by it.
 *
 * @param leader the process that says so, as {@code RunFolder} names it
 * @param writtenMillis when, since 1970
 * @param oneProcess whether its ranks are threads of one process; then no layout changes while it runs
 * @param page address of the live page; empty where there is none
 * @param phase what its coordinator is at
 * @param generation term and number of the newest generation
 * @param step completed steps
 * @param steps steps of the whole run
 * @param saved step of the newest checkpoint, -1 for none
 * @param layout of the newest generation
 * @param wish the layout that was asked for last, as far as the coordinator heard
 * @param nearest what the workers could have that were there when it heard of it or when the newest
 *     generation began to run
 * @param members of the newest generation, by rank
 * @param waiting workers that are no members
 * @param change how the newest generation came about
 * @param machine where its workers began; null where the ranks are of one process
 */
public record RunStatus(
        String leader,
        long writtenMillis,
        boolean oneProcess,
        String page,
        String phase,
        String generation,
        long step,
        long steps,
        long saved,
        @Nullable ParallelLayout layout,
        @Nullable LayoutWish wish,
        @Nullable ParallelLayout nearest,
        List<String> members,
        List<String> waiting,
        @Nullable Change change,
        @Nullable Machine machine) {

    /** The phase in which members step. */
    public static final String RUNNING = "running";

    /**
     * A change from one generation to the next.
     *
     * @param step completed steps it went on from
     * @param stillMillis how long members stood still: from the fence until all stepped again
     * @param movedBytes bytes of weights and moments sent between members for it
     */
    public record Change(long step, long stillMillis, long movedBytes) {}

    /**
     * The machine of the leading node, as it was before its workers began.
     *
     * @param node its name
     * @param memoryBytes memory its workers may use together
     * @param recomputation what their backward passes compute again
     */
    public record Machine(String node, long memoryBytes, Recomputation recomputation) {}

    public RunStatus { // what another process wrote may lack anything
        Objects.requireNonNull(leader);
        Objects.requireNonNull(page);
        Objects.requireNonNull(phase);
        Objects.requireNonNull(generation);
        members = List.copyOf(members);
        waiting = List.copyOf(waiting);
    }
}
