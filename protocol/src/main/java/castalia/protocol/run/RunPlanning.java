package castalia.protocol.run;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.PlacementPlanner;
import castalia.protocol.layout.ReshardPlan;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Who becomes a member, who holds what, and who learns what. */
final class RunPlanning {

    private final RunSettings settings;
    private final RunDraining draining;

    RunPlanning(RunSettings settings, RunDraining draining) {
        this.settings = settings;
        this.draining = draining;
    }

    /**
     * Members are those who hold something of the version all go on from, members of the generation
     * before first. Chunks stay where they are, unless the wish has another layout.
     */
    void fromMemory(RunDraft draft, List<HolderReport> reports, RollForward.Memory memory) {
        List<Member> excluded = gone(draft);
        List<Member> useful = useful(draft, memory);
        ParallelLayout layout = draft.reshape
                ? RunLayouts.desired(draft, settings.virtualRanks())
                : draft.wish.fit(useful.size(), settings.virtualRanks());
        List<Member> members = RunLayouts.ordered(
                draft.plan, draft.reshape ? joined(draft, useful, layout) : useful, layout);
        List<List<Integer>> holders = holders(members, memory);
        List<String> nodes = nodes(members);
        Placement placement = draft.reshape
                ? Placement.of(settings.grid(), settings.virtualRanks(), layout, members.size())
                : PlacementPlanner.of(
                        settings.grid(), settings.virtualRanks(), layout, holders, nodes);
        ReshardPlan moves = ReshardPlan.of(settings.grid(), placement, holders, nodes);
        int needed = needed(placement, moves);
        if (needed < members.size()) {
            members = members.subList(0, needed);
            placement = placement.of(needed);
        }
        long version = memory.scalars().step();
        boolean gather =
                RunLayouts.lacksWeights(members, placement, reports, version);
        install(draft, members, placement,
                new Start.Memory(memory.scalars(), memory.update(), moves.moves()), gather, excluded,
                version);
    }

    /** Members that are left, and whoever else holds something. */
    private List<Member> useful(RunDraft draft, RollForward.Memory memory) {
        Set<Incarnation> holding =
                memory.holders().stream().flatMap(List::stream).collect(Collectors.toSet());
        List<Member> members = new ArrayList<>(draft.liveMembers());
        int most = settings.virtualRanks() * draft.wish.tensorParallel();
        draft.workers.values().stream()
                .filter(w -> holding.contains(w.incarnation()) && !members.contains(w))
                .limit(Math.max(0, most - members.size()))
                .forEach(members::add);
        return members;
    }

    /** With workers that wait, as many as the layout has room for. */
    private static List<Member> joined(
            RunDraft draft, List<Member> members, ParallelLayout layout) {
        List<Member> all = new ArrayList<>(members);
        draft.workers.values().stream()
                .filter(w -> !members.contains(w))
                .limit(Math.max(0, layout.ranks() - members.size()))
                .forEach(all::add);
        return all;
    }

    private static List<List<Integer>> holders(
            List<Member> members, RollForward.Memory memory) {
        Map<Incarnation, Integer> ranks = new HashMap<>();
        for (int r = 0; r < members.size(); r++) {
            ranks.put(members.get(r).incarnation(), r);
        }
        return memory.holders().stream()
                .map(of -> of.stream().filter(ranks::containsKey).map(ranks::get).toList())
                .toList();
    }

    /** Ranks that compute, and up to the last that holds or sends something. */
    private static int needed(Placement placement, ReshardPlan moves) {
        int needed = placement.layout().ranks();
        for (int r = needed; r < placement.ranks(); r++) {
            int rank = r;
            if (placement.held(rank).length > 0
                    || moves.moves().stream().anyMatch(move -> move.from() == rank)) {
                needed = rank + 1;
            }
        }
        return needed;
    }

    /** Everything anew: the first workers, those of one node never next to each other if possible. */
    void anew(RunDraft draft, Start start) {
        List<Member> excluded = gone(draft);
        int workers = Math.min(
                Math.max(1, RunLayouts.wanted(draft, settings.virtualRanks())),
                draft.workers.size());
        if (workers == 0) {
            draft.phase = new RunPhase.Forming();
            draft.startTimer(RunTimer.FORMING, settings.patience().forming());
            return;
        }
        ParallelLayout layout = draft.wish.fit(workers, settings.virtualRanks());
        List<Member> members = alternating(draft, layout.ranks());
        Placement placement = Placement.of(settings.grid(), settings.virtualRanks(), layout);
        install(draft, members, placement, start, true, excluded, draft.version);
    }

    private static List<Member> gone(RunDraft draft) {
        return draft.plan.map(GenerationPlan::members).orElse(List.of()).stream()
                .filter(member -> !draft.workers.containsKey(member.incarnation()))
                .toList();
    }

    private static List<Member> alternating(RunDraft draft, int ranks) {
        Map<String, Queue<Member>> byNode = new LinkedHashMap<>();
        draft.workers.values().stream().limit(ranks).forEach(member ->
                byNode.computeIfAbsent(member.node(), _ -> new ArrayDeque<>()).add(member));
        List<Member> members = new ArrayList<>();
        while (members.size() < ranks) {
            for (Queue<Member> queue : byNode.values()) {
                Member next = queue.poll();
                if (next != null) {
                    members.add(next);
                }
            }
        }
        return members;
    }

    private void install(
            RunDraft draft, List<Member> members, Placement placement, Start start,
            boolean gather, List<Member> excluded, long version) {
        GenerationPlan plan = new GenerationPlan(
                draft.fence, members, placement, start, gather, draft.saved());
        draft.plan = Optional.of(plan);
        draft.version = version;
        draft.reshape = false;
        Set<Incarnation> waiting = new HashSet<>();
        for (Member member : members) {
            waiting.add(member.incarnation());
            draft.send(member.incarnation(), new CoordinatorMessage.Install(plan));
        }
        draft.phase = new RunPhase.Resharding(waiting);
        draft.effects.add(new RunEffect.LogGeneration(plan));
        int degraded = members.size() > 1 ? placement.alone().length : 0;
        draft.announce(new RunNews.Resharding(plan, excluded, version, degraded, moved(start)));
        draft.startTimer(RunTimer.INSTALLING, settings.patience().installing());
    }

    private long moved(Start start) {
        return switch (start) {
            case Start.Initial(), Start.Checkpoint _ -> 0;
            case Start.Memory(_, _, var moves) ->
                    new ReshardPlan(moves, List.of()).bytes(settings.grid());
        };
    }

    /**
     * While members run: a waiting worker learns if ranks are missing, or everybody takes the layout
     * that the wish has for them, whatever is being learnt; otherwise members learn the chunks that
     * have too few holders.
     */
    void learn(RunDraft draft) {
        if (!(draft.phase instanceof RunPhase.Running(Set<Incarnation> finished))
                || !finished.isEmpty() || draft.stopRequested
                || draft.version + 2 >= settings.steps()) {
            return;
        }
        GenerationPlan plan = draft.plan.orElseThrow();
        ParallelLayout now = plan.placement().layout();
        ParallelLayout desired = RunLayouts.desired(draft, settings.virtualRanks());
        boolean grows = RunLayouts.growsByLearning(now, desired);
        boolean reshapes = !now.equals(desired) && !grows;
        boolean leaves = plan.members().size() > now.ranks() && idle(plan);
        if (reshapes || (leaves && draft.learning.isEmpty())) {
            if (RunDraining.possible(draft)) {
                draft.learning = RunPhase.Learning.NONE;
                draft.cancelTimer(RunTimer.LEARNING);
                draft.reshape = reshapes;
                draining.begin(draft, false,
                        reshapes ? "layout " + desired : "members without chunks leave");
            }
            return;
        }
        if (!draft.learning.isEmpty()) {
            return;
        }
        Map<Incarnation, List<Integer>> chunks = new TreeMap<>();
        Optional<Member> spare = !grows ? Optional.empty()
                : draft.workers.values().stream()
                        .filter(w -> plan.rankOf(w.incarnation()) < 0).findFirst();
        if (spare.isPresent()) {
            chunks.put(spare.get().incarnation(),
                    PlacementPlanner.share(settings.grid(), plan.placement()));
        } else {
            int[] learners = PlacementPlanner.secondCopies(
                    settings.grid(), plan.placement(), nodes(plan.members()));
            for (int c = 0; c < learners.length; c++) {
                if (learners[c] != Placement.NONE) {
                    chunks.computeIfAbsent(plan.members().get(learners[c]).incarnation(),
                            _ -> new ArrayList<>()).add(c);
                }
            }
        }
        if (!chunks.isEmpty()) {
            begin(draft, plan, chunks);
        }
    }

    /** While members go to a boundary to change: another wish is taken there, too. */
    void redirect(RunDraft draft) {
        if (draft.phase instanceof RunPhase.Draining drained && !drained.stopping()) {
            ParallelLayout now = draft.plan.orElseThrow().placement().layout();
            ParallelLayout desired = RunLayouts.desired(draft, settings.virtualRanks());
            draft.reshape = !now.equals(desired) && !RunLayouts.growsByLearning(now, desired);
        }
    }

    private static boolean idle(GenerationPlan plan) {
        return plan.placement().held(plan.members().size() - 1).length == 0;
    }

    private void begin(
            RunDraft draft, GenerationPlan plan, Map<Incarnation, List<Integer>> chunks) {
        draft.learning = new RunPhase.Learning(chunks, chunks.keySet());
        draft.startTimer(RunTimer.LEARNING, settings.patience().learning());
        chunks.forEach((worker, learned) -> {
            Member learner = draft.worker(worker);
            draft.announce(new RunNews.Learning(learner, learned.size()));
            draft.send(worker, new CoordinatorMessage.Learn(draft.fence, learned));
            learned.stream()
                    .collect(Collectors.groupingBy(
                            c -> plan.placement().owner(c), TreeMap::new, Collectors.toList()))
                    .forEach((owner, fed) -> draft.send(
                            plan.members().get(owner).incarnation(),
                            new CoordinatorMessage.Feed(draft.fence, learner, fed)));
        });
    }

    private static List<String> nodes(List<Member> members) {
        return members.stream().map(Member::node).toList();
    }
}
