package castalia.protocol.run;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.PlacementPlanner;
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

    RunPlanning(RunSettings settings) {
        this.settings = settings;
    }

    /**
     * Members are those who hold something of the version all go on from, members of the generation
     * before first, in their order.
     */
    void fromMemory(RunDraft draft, List<HolderReport> reports, RollForward.Memory memory) {
        Set<Incarnation> useful =
                memory.holders().stream().flatMap(List::stream).collect(Collectors.toSet());
        List<Member> excluded = gone(draft);
        List<Member> members = new ArrayList<>();
        for (Member member : draft.liveMembers()) {
            members.add(member);
        }
        draft.workers.values().stream()
                .filter(w -> useful.contains(w.incarnation()) && !members.contains(w))
                .limit(Math.max(0, settings.virtualRanks() - members.size()))
                .forEach(members::add);
        Map<Incarnation, Integer> ranks = new HashMap<>();
        for (int r = 0; r < members.size(); r++) {
            ranks.put(members.get(r).incarnation(), r);
        }
        List<List<Integer>> holders = memory.holders().stream()
                .map(of -> of.stream().filter(ranks::containsKey).map(ranks::get).toList())
                .toList();
        Placement placement = PlacementPlanner.of(
                settings.grid(), settings.virtualRanks(), holders, nodes(members));
        long version = memory.scalars().step();
        boolean gather = reports.stream().anyMatch(report ->
                ranks.containsKey(report.worker()) && report.weights() != version);
        install(draft, members, placement, new Start.Memory(memory.scalars(), memory.update()),
                gather, excluded, version);
    }

    /** Everything anew: the first workers, those of one node never next to each other if possible. */
    void anew(RunDraft draft, Start start) {
        List<Member> excluded = gone(draft);
        int ranks = Math.min(
                Math.min(Math.max(1, draft.target), settings.virtualRanks()), draft.workers.size());
        if (ranks == 0) {
            draft.phase = new RunPhase.Forming();
            draft.startTimer(RunTimer.FORMING, settings.patience().forming());
            return;
        }
        List<Member> members = alternating(draft, ranks);
        Placement placement =
                Placement.of(settings.grid(), settings.virtualRanks(), members.size());
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
        Set<Incarnation> waiting = new HashSet<>();
        for (Member member : members) {
            waiting.add(member.incarnation());
            draft.send(member.incarnation(), new CoordinatorMessage.Install(plan));
        }
        draft.phase = new RunPhase.Resharding(waiting);
        draft.effects.add(new RunEffect.LogGeneration(plan));
        int degraded = members.size() > 1 ? placement.alone().length : 0;
        draft.announce(new RunNews.Resharding(plan, excluded, version, degraded));
        draft.startTimer(RunTimer.INSTALLING, settings.patience().installing());
    }

    /**
     * While members run: a waiting worker learns if ranks are missing; otherwise members learn the
     * chunks that have one holder.
     */
    void learn(RunDraft draft) {
        if (!(draft.phase instanceof RunPhase.Running(Set<Incarnation> finished))
                || !finished.isEmpty() || draft.stopRequested || !draft.learning.isEmpty()
                || draft.version + 2 >= settings.steps()) {
            return;
        }
        GenerationPlan plan = draft.plan.orElseThrow();
        Map<Incarnation, List<Integer>> chunks = new TreeMap<>();
        int wanted = Math.min(draft.target, settings.virtualRanks());
        Optional<Member> spare = plan.members().size() >= wanted ? Optional.empty()
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
