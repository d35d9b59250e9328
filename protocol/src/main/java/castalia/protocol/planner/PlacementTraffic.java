package castalia.protocol.planner;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import java.util.ArrayList;
import java.util.List;

/** The payload bytes that the ranks of a placement give each other in one step. */
public final class PlacementTraffic {

    private static final long F32 = Float.BYTES;
    private static final int PARTIALS = 0;
    private static final int FINISHED = 1;
    private static final int WEIGHTS = 2;
    private static final int SLICES = 3;
    private static final int VOTES = 4;
    private static final int KINDS = 5;

    private final Workload work;
    private final Placement placement;
    private final ParallelLayout layout;
    private final int perNode;
    private final GradientMemory folding;
    private final long[] heldChunks;
    private final long[][] sent;
    private final long[][] received;
    private final long[][] sentAcross;
    private final long[][] receivedAcross;

    private PlacementTraffic(Workload work, Placement placement, int perNode) {
        this.work = work;
        this.placement = placement;
        this.layout = placement.layout();
        this.perNode = perNode;
        this.folding = new GradientMemory(placement);
        int ranks = placement.ranks();
        this.heldChunks = new long[ranks];
        this.sent = new long[KINDS][ranks];
        this.received = new long[KINDS][ranks];
        this.sentAcross = new long[KINDS][ranks];
        this.receivedAcross = new long[KINDS][ranks];
    }

    /**
     * The traffic of every rank.
     *
     * @param perNode ranks of a node: rank r is on node r / perNode
     */
    public static List<RankTraffic> of(Workload work, Placement placement, int perNode) {
        PlacementTraffic traffic = new PlacementTraffic(work, placement, perNode);
        for (ChunkGroup group : ChunkGroup.of(work, placement)) {
            traffic.chunks(group);
        }
        if (traffic.layout.fetchesWeights()) {
            traffic.fetches();
        }
        if (traffic.layout.tensorParallel() > 1) {
            traffic.slices();
        }
        traffic.votes();
        return traffic.ranks();
    }

    private void chunks(ChunkGroup group) {
        int chunk = group.chunk();
        int owner = group.owner();
        long gradient = F32 * group.elements();
        for (int d = 0; d < layout.dataParallel(); d++) {
            count(PARTIALS, placement.source(d, chunk), owner, folding.parts(d) * gradient);
        }
        group.users().forEachHolder(placement, chunk, holder -> {
            heldChunks[holder] += group.count();
            count(FINISHED, owner, holder, gradient);
        });
        group.users().forEach(user -> weights(group, user));
    }

    /** Once a step. */
    private void weights(ChunkGroup group, int user) {
        if (!layout.fetchesWeights() && !placement.holds(user, group.chunk())) {
            count(WEIGHTS, group.owner(), user, (long) work.computeBytes() * group.elements());
        }
    }

    /** ZeRO 3: for every pass, forward and backward, of every micro-batch, unless it is still there. */
    private void fetches() {
        LayerWindows windows = new LayerWindows(LocalSpace.whole(work.grid()));
        long[][] brought = new long[layout.dataParallel()][];
        for (int d = 0; d < brought.length; d++) {
            brought[d] = windows.brought(passes(placement.rankAt(d, 0)));
        }
        for (Chunk chunk : work.grid().chunks()) {
            long bytes = (long) work.computeBytes() * chunk.length();
            Users.of(placement, chunk).forEach(user -> {
                if (!placement.holds(user, chunk.index())) {
                    count(WEIGHTS, placement.owner(chunk.index()), user,
                            brought[placement.replica(user)][chunk.layer()] * bytes);
                }
            });
        }
    }

    /** Micro-batches of a rank in a step. */
    private long passes(int rank) {
        return (long) placement.block(rank).count() * work.plan().microBatchesPerVirtualRank();
    }

    private void slices() {
        int t = layout.tensorParallel();
        SliceTraffic pass = new SliceTraffic(work, t);
        for (int d = 0; d < layout.dataParallel(); d++) {
            long passes = passes(placement.rankAt(d, 0));
            for (int from = 0; from < t; from++) {
                for (int to = 0; to < t; to++) {
                    count(SLICES, placement.rankAt(d, from), placement.rankAt(d, to),
                            passes * pass.bytes(from, to));
                }
            }
        }
    }

    private void votes() {
        int ranks = placement.ranks();
        long all = 0;
        for (int first = 0; first < ranks; first += perNode) {
            all += votes(first);
        }
        for (int first = 0; first < ranks; first += perNode) {
            long together = votes(first);
            int size = Math.min(perNode, ranks - first);
            for (int r = first; r < first + size; r++) {
                long own = VoteBytes.of(placement, r, heldChunks[r]);
                sent[VOTES][r] = (ranks - 1) * own;
                received[VOTES][r] = all - own;
                sentAcross[VOTES][r] = (ranks - size) * own;
                receivedAcross[VOTES][r] = all - together;
            }
        }
    }

    /** Bytes of the votes of a node's ranks. */
    private long votes(int first) {
        long bytes = 0;
        for (int r = first; r < Math.min(first + perNode, placement.ranks()); r++) {
            bytes += VoteBytes.of(placement, r, heldChunks[r]);
        }
        return bytes;
    }

    private void count(int kind, int from, int to, long bytes) {
        if (from == to) {
            return;
        }
        sent[kind][from] += bytes;
        received[kind][to] += bytes;
        if (from / perNode != to / perNode) {
            sentAcross[kind][from] += bytes;
            receivedAcross[kind][to] += bytes;
        }
    }

    private List<RankTraffic> ranks() {
        List<RankTraffic> all = new ArrayList<>(placement.ranks());
        for (int r = 0; r < placement.ranks(); r++) {
            all.add(new RankTraffic(of(sent, r), of(received, r), of(sentAcross, r),
                    of(receivedAcross, r)));
        }
        return all;
    }

    private static Traffic of(long[][] kinds, int rank) {
        return new Traffic(kinds[PARTIALS][rank], kinds[FINISHED][rank], kinds[WEIGHTS][rank],
                kinds[SLICES][rank], kinds[VOTES][rank]);
    }
}
