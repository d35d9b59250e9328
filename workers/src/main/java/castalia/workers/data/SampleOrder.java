package castalia.workers.data;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.Objects;

/**
 * The order in which GPT-NeoX v1.0 visits a data set, bit for bit: which sample of S + 1 tokens
 * stands at each dataset index. Depends on the sequence sizes, the range of documents, S, the
 * number of samples requested and the seed, and on nothing else.
 *
 * <p>As in GPT-NeoX, a <em>document</em> here is a sequence of the token file. The documents are
 * repeated for as many epochs E as the request needs, the whole list is shuffled once, samples are
 * cut from it one after another (each starts at the last token of the one before), and the samples
 * are shuffled with the same generator.
 *
 * <p>Accessors are long-indexed. Values never change after construction; safe for several threads.
 *
 * <p>Source: GPT-NeoX v1.0, {@code megatron/data/gpt2_dataset.py} and {@code helpers.cpp}.
 */
public final class SampleOrder {
    /** What defines an order, beside the sequence sizes. */
    public record Request(
            long firstDocument, long endDocument, int sequenceLength, long samples, long seed) {
        public Request {
            if (firstDocument < 0 || endDocument <= firstDocument) {
                throw new DataException("documents " + firstDocument + ":" + endDocument
                        + ": the range is empty; give first:end with first < end");
            }
            if (sequenceLength < 1) {
                throw new DataException("sequence length " + sequenceLength
                        + ": must be at least 1");
            }
            if (samples < 1) {
                throw new DataException("samples " + samples + ": must be at least 1");
            }
            if (seed < 0 || seed > 0xffffffffL) {
                throw new DataException("data seed " + seed + ": must be in 0 to 4294967295");
            }
        }

        /** All documents of a data set. */
        public static Request all(
                SequenceSizes sizes, int sequenceLength, long samples, long seed) {
            return new Request(0, sizes.sequences(), sequenceLength, samples, seed);
        }

        /** What messages call the documents. */
        String range() {
            return "documents " + firstDocument + ":" + endDocument;
        }

        /** One {@code name=value} per field for the run specification. */
        public List<String> lines() {
            return List.of(
                    "order=gpt-neox-v1.0",
                    "order.documents=" + firstDocument + ":" + endDocument,
                    "order.sequence=" + sequenceLength,
                    "order.samples=" + samples,
                    "order.seed=" + seed);
        }
    }

    private final Request request;
    private final OrderPlan plan;
    private final IndexArray documents;
    private final IndexArray starts;
    private final IndexArray shuffle;

    /**
     * @param starts positions and offsets in turn, n + 1 pairs
     */
    SampleOrder(Request request, OrderPlan plan, IndexArray documents, IndexArray starts,
            IndexArray shuffle) {
        this.request = request;
        this.plan = plan;
        this.documents = documents;
        this.starts = starts;
        this.shuffle = shuffle;
    }

    /**
     * Builds the order in memory; it is freed with the object.
     *
     * @throws DataException if the range is outside the data set or holds no tokens
     */
    public static SampleOrder build(SequenceSizes sizes, Request request) {
        return build(sizes, request, new NumpyRandomState(request.seed()));
    }

    static SampleOrder build(SequenceSizes sizes, Request request, NumpyRandomState random) {
        OrderPlan plan = OrderPlan.of(sizes, request);
        Memory.require(plan.bytes(request), "the sample order");
        OrderBuilder builder =
                new OrderBuilder(sizes, request, plan, random, DataProgress.none());
        Arena arena = Arena.ofAuto();
        IndexArray documents = builder.documents(arena);
        IndexArray starts =
                IndexArray.allocate(2 * (plan.samples() + 1), plan.largestPair(), arena);
        new SampleCutter(sizes, documents, request.sequenceLength())
                .next(starts, plan.samples() + 1);
        return new SampleOrder(request, plan, documents, starts, builder.shuffle(arena));
    }

    /** What this order was built for. */
    public Request request() {
        return request;
    }

    /** Tokens of the chosen documents. */
    public long tokensPerEpoch() {
        return plan.tokensPerEpoch();
    }

    /** E, the passes over the documents that were pooled. */
    public long epochs() {
        return plan.epochs();
    }

    /** n, the samples cut; one more than {@link #length}. */
    public long samples() {
        return shuffle.length();
    }

    /**
     * The number of dataset indices, n - 1: GPT-NeoX never uses the last shuffled sample. Larger
     * indices wrap around.
     */
    public long length() {
        return shuffle.length() - 1;
    }

    /** Entries of the shuffled document list, E times the documents chosen. */
    public long documentPositions() {
        return documents.length();
    }

    /** The sequence at a position of the shuffled document list. */
    public long documentAt(long position) {
        return documents.get(position);
    }

    /** Where sample {@code sample} (0 to n) starts: the position in the document list. */
    public long samplePosition(long sample) {
        return starts.get(2 * sample);
    }

    /** Where sample {@code sample} (0 to n) starts: the token within that document. */
    public int sampleOffset(long sample) {
        return (int) starts.get(2 * sample + 1);
    }

    /** The sample at place {@code place} (0 to n - 1) of the shuffled list. */
    public long shuffled(long place) {
        return shuffle.get(place);
    }

    /** The sample at a dataset index of at least 0; indices beyond {@link #length} wrap around. */
    public long sampleAt(long datasetIndex) {
        Objects.checkIndex(datasetIndex, Long.MAX_VALUE);
        return shuffle.get(datasetIndex % length());
    }

    /**
     * The sample a blend reads at an index of this data set: there the last shuffled sample is
     * used too, and only indices beyond it wrap around, by {@link #length}.
     */
    public long sampleInBlend(long index) {
        Objects.checkIndex(index, Long.MAX_VALUE);
        return shuffle.get(index < shuffle.length() ? index : index % length());
    }

    /** Refuses an order of a single sample, of which GPT-NeoX would use none. */
    void requireSamples() {
        if (length() < 1) {
            throw new DataException(request.range() + " hold " + tokensPerEpoch()
                    + " tokens, which is one sample of " + request.sequenceLength() + " in "
                    + epochs() + " epochs; at least two are needed: use more text, a shorter"
                    + " sequence or more samples");
        }
    }
}
