package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.model.SliceExchange;
import java.lang.foreign.MemorySegment;

/**
 * What the ranks of one replica give each other while they compute, in one generation. Frames are
 * named by the number of the pass, of the exchange in it, and of the piece; all ranks of a replica
 * count alike. Lengths are known to both sides; nothing is sent for an empty block.
 */
public final class TensorExchange implements SliceExchange {

    /** Longest payload, bytes; what is longer goes in pieces. Shorter than any frame bound in use. */
    static final int PIECE_BYTES = 1 << 22;

    private final Transport transport;
    private final long generation;
    private final int position;
    private final int[] ranks;
    private final int pieceBytes;
    private long pass = -1;
    private int given;
    private int taken;
    private boolean outstanding;

    /**
     * The exchange of {@code transport}'s rank, which computes.
     *
     * @throws IllegalArgumentException if the rank computes nothing
     */
    public TensorExchange(long generation, Placement placement, Transport transport) {
        this(generation, placement, transport, PIECE_BYTES);
    }

    TensorExchange(long generation, Placement placement, Transport transport, int pieceBytes) {
        int rank = transport.rank();
        if (!placement.computes(rank)) {
            throw new IllegalArgumentException("rank " + rank + " computes no tensor slices");
        }
        this.transport = transport;
        this.generation = generation;
        this.pieceBytes = pieceBytes;
        this.position = placement.tensorPosition(rank);
        this.ranks = new int[placement.layout().tensorParallel()];
        for (int p = 0; p < ranks.length; p++) {
            ranks[p] = placement.rankAt(placement.replica(rank), p);
        }
    }

    @Override
    public int position() {
        return position;
    }

    @Override
    public int ranks() {
        return ranks.length;
    }

    @Override
    public void begin() {
        settle();
        pass++;
        given = 0;
        taken = 0;
    }

    @Override
    public void send(Buffer[] blocks) {
        for (int i = 1; i < ranks.length; i++) {
            int p = (position + i) % ranks.length;
            MemorySegment payload = blocks[p].segment();
            for (int piece = 0; start(piece) < payload.byteSize(); piece++) {
                transport.send(ranks[p], tag(given, piece), piece(payload, piece));
                outstanding = true;
            }
        }
        given++;
    }

    @Override
    public void receive(Buffer[] blocks) {
        for (int i = 1; i < ranks.length; i++) {
            int p = (position - i + ranks.length) % ranks.length;
            MemorySegment into = blocks[p].segment();
            for (int piece = 0; start(piece) < into.byteSize(); piece++) {
                transport.receive(ranks[p], tag(taken, piece), piece(into, piece));
            }
        }
        taken++;
    }

    private FrameTag tag(int exchange, int piece) {
        return new FrameTag(Kind.SLICE, generation, pass, 0, exchange, piece);
    }

    private long start(int piece) {
        return (long) piece * pieceBytes;
    }

    private MemorySegment piece(MemorySegment whole, int piece) {
        return whole.byteSize() <= pieceBytes ? whole
                : whole.asSlice(start(piece), Math.min(pieceBytes, whole.byteSize() - start(piece)));
    }

    @Override
    public void settle() {
        if (outstanding) {
            for (int rank : ranks) {
                transport.drain(rank);
            }
            outstanding = false;
        }
    }
}
