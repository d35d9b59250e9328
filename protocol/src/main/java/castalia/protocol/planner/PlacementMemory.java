package castalia.protocol.planner;

import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import java.util.ArrayList;
import java.util.List;

/** The memory that a placement takes on each of its ranks. */
public final class PlacementMemory {

    private static final long F32 = Float.BYTES;

    private final Workload work;
    private final Placement placement;
    private final ParallelLayout layout;
    private final GradientMemory folding;
    private final long[] used;
    private final long[] windows;
    private final long[] owned;
    private final long[] ownedForOthers;
    private final long[] held;
    private final long[] furtherUsed;
    private final long[] heldChunks;
    private final long[] sums;
    private final long[] working;
    private final boolean[] neitherUsedNorOwned;
    private final long[] early;

    private PlacementMemory(Workload work, Placement placement) {
        this.work = work;
        this.placement = placement;
        this.layout = placement.layout();
        this.folding = new GradientMemory(placement);
        int ranks = placement.ranks();
        this.used = new long[ranks];
        this.windows = new long[ranks];
        this.owned = new long[ranks];
        this.ownedForOthers = new long[ranks];
        this.held = new long[ranks];
        this.furtherUsed = new long[ranks];
        this.heldChunks = new long[ranks];
        this.sums = new long[ranks];
        this.working = new long[ranks];
        this.neitherUsedNorOwned = new boolean[ranks];
        this.early = new long[ranks];
    }

    /**
     * The memory of every rank.
     *
     * @param earlyBytes most bytes of frames that a rank keeps because they came before they were
     *     waited for; 0 where ranks share a process
     */
    public static List<RankMemory> of(Workload work, Placement placement, long earlyBytes) {
        PlacementMemory memory = new PlacementMemory(work, placement);
        memory.used();
        memory.held();
        return memory.ranks(earlyBytes);
    }

    private void used() {
        for (int p = 0; p < layout.tensorParallel(); p++) {
            LocalSpace space = new LocalSpace(work.grid(), placement.slices(p));
            long inWindows = new LayerWindows(space).elements();
            for (int d = 0; d < layout.dataParallel(); d++) {
                used[placement.rankAt(d, p)] = space.elements();
                windows[placement.rankAt(d, p)] = inWindows;
            }
        }
    }

    private void held() {
        int[] workingOf = new int[layout.dataParallel() + 1];
        for (int d = -1; d < layout.dataParallel(); d++) {
            workingOf[d + 1] = folding.working(d);
        }
        for (ChunkGroup group : ChunkGroup.of(work, placement)) {
            int owner = group.owner();
            int own = folding.ownReplica(group);
            owned[owner] += group.elements();
            ownedForOthers[owner] += group.users().contains(owner) ? 0 : group.elements();
            sums[owner] += folding.ofOwned(group) * group.elements();
            working[owner] = Math.max(working[owner], workingOf[own + 1]);
            early[owner] += earlyParts(own) * group.gradientBuffers();
            group.users().forEachHolder(placement, group.chunk(), holder -> hold(holder, group));
            group.users().forEach(user -> {
                if (!layout.fetchesWeights() && !placement.holds(user, group.chunk())) {
                    early[user] += group.weightBuffers();
                }
            });
        }
    }

    private void hold(int holder, ChunkGroup group) {
        held[holder] += group.elements();
        heldChunks[holder] += group.count();
        if (holder != group.owner()) {
            furtherUsed[holder] += group.users().contains(holder) ? group.elements() : 0;
            neitherUsedNorOwned[holder] |= !group.users().contains(holder);
            early[holder] += group.gradientBuffers();
        }
    }

    /** Parts of others that may wait for an owner: all of a step, or of two rounds. */
    private long earlyParts(int ownReplica) {
        long parts = 0;
        for (int d = 0; d < layout.dataParallel(); d++) {
            int all = folding.parts(d);
            parts += d == ownReplica ? 0 : layout.zero() < 2 ? all : Math.min(2, all);
        }
        return parts;
    }

    private List<RankMemory> ranks(long earlyBytes) {
        long votes = 0;
        for (int r = 0; r < placement.ranks(); r++) {
            votes += VoteBytes.of(placement, r, heldChunks[r]);
        }
        long[] activations = new long[layout.tensorParallel()];
        ActivationMemory model = new ActivationMemory(work, layout.tensorParallel());
        for (int p = 0; p < activations.length; p++) {
            activations[p] = model.bytes(p);
        }
        List<RankMemory> all = new ArrayList<>(placement.ranks());
        for (int r = 0; r < placement.ranks(); r++) {
            all.add(new RankMemory(
                    weights(r), windows(r), gradients(r),
                    state(owned[r], owned[r] - ownedForOthers[r]),
                    state(held[r] - owned[r], furtherUsed[r]),
                    placement.computes(r) ? activations[placement.tensorPosition(r)] : 0,
                    votes + Math.min(earlyBytes, early[r])));
        }
        return all;
    }

    /** Whether the weights in the compute type of a chunk held are its master weights. */
    private boolean shared() {
        return work.computeBytes() == F32;
    }

    /** Master weights and moments, without master weights that are among those to compute with. */
    private long state(long elements, long usedElements) {
        boolean placed = shared() && !layout.fetchesWeights();
        return F32 * (3 * elements - (placed ? usedElements : 0));
    }

    private long weights(int rank) {
        boolean fetched = layout.fetchesWeights();
        if (shared()) {
            return fetched ? 0 : F32 * used[rank];
        }
        boolean spare = fetched ? held[rank] > owned[rank] : neitherUsedNorOwned[rank];
        long stay = fetched ? owned[rank] : used[rank] + ownedForOthers[rank];
        return work.computeBytes() * (stay + (spare ? work.longestChunk() : 0));
    }

    private long windows(int rank) {
        return layout.fetchesWeights() ? work.computeBytes() * windows[rank] : 0;
    }

    private long gradients(int rank) {
        boolean leavesByLayer =
                layout.fetchesWeights() && work.plan().microBatchesPerVirtualRank() == 1;
        long computed = leavesByLayer ? windows[rank] : folding.full(rank) * used[rank];
        return F32 * (computed + sums[rank] + held[rank] - owned[rank]
                + working[rank] * work.longestChunk());
    }
}
