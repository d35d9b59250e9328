package castalia.protocol.run;

import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Which layout a generation gets, and which worker which place in it. */
final class RunLayouts {

    private RunLayouts() {}

    /** Workers that are worth having: what was asked for, else as many as were offered. */
    static int wanted(RunDraft draft, int virtualRanks) {
        LayoutWish wish = draft.wish;
        return wish.ranks() > 0 ? wish.ranks()
                : Math.min(draft.target, virtualRanks * wish.tensorParallel());
    }

    /** What the workers that are there now should become. */
    static ParallelLayout desired(RunDraft draft, int virtualRanks) {
        int usable = Math.min(wanted(draft, virtualRanks), draft.workers.size());
        int kept = draft.wish.ranks() > 0 ? usable
                : Math.max(usable, draft.liveMembers().size());
        return draft.wish.fit(Math.max(1, kept), virtualRanks);
    }

    /** Whether a newcomer can grow one layout into another by learning, while members step. */
    static boolean growsByLearning(ParallelLayout from, ParallelLayout to) {
        return from.tensorParallel() == 1 && to.tensorParallel() == 1 && from.zero() == to.zero()
                && from.zero() > 0 && from.buddies() == to.buddies()
                && from.dataParallel() < to.dataParallel();
    }

    /**
     * Members in an order that leaves as many as possible at their position within a replica, so
     * that they have the weights they need.
     */
    static List<Member> ordered(
            Optional<GenerationPlan> before, List<Member> members, ParallelLayout layout) {
        int t = layout.tensorParallel();
        if (t == 1 || before.isEmpty()
                || before.get().placement().layout().tensorParallel() != t) {
            return members;
        }
        GenerationPlan plan = before.get();
        List<Optional<Member>> places = new ArrayList<>();
        for (int r = 0; r < layout.ranks(); r++) {
            places.add(Optional.empty());
        }
        List<Member> others = new ArrayList<>();
        for (Member member : members) {
            int rank = plan.rankOf(member.incarnation());
            boolean placed = false;
            if (rank >= 0 && plan.placement().computes(rank)) {
                int position = plan.placement().tensorPosition(rank);
                for (int d = 0; d < layout.dataParallel() && !placed; d++) {
                    if (places.get(d * t + position).isEmpty()) {
                        places.set(d * t + position, Optional.of(member));
                        placed = true;
                    }
                }
            }
            if (!placed) {
                others.add(member);
            }
        }
        List<Member> all = new ArrayList<>();
        for (Optional<Member> place : places) {
            all.add(place.orElseGet(others::removeFirst));
        }
        all.addAll(others);
        return all;
    }

    /**
     * Whether some rank that computes lacks the weights of its slices at a version. None does where
     * weights are fetched when they are needed.
     */
    static boolean lacksWeights(
            List<Member> members, Placement placement, List<HolderReport> reports, long version) {
        if (placement.layout().fetchesWeights()) {
            return false;
        }
        for (int r = 0; r < placement.layout().ranks(); r++) {
            Incarnation worker = members.get(r).incarnation();
            SliceBlock slices = placement.slices(r);
            boolean complete = reports.stream().anyMatch(report -> report.worker().equals(worker)
                    && report.weights() == version && report.slices().equals(slices));
            if (!complete) {
                return true;
            }
        }
        return false;
    }
}
