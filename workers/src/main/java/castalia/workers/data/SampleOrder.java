package castalia.workers.data;

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
    private final long tokensPerEpoch;
    private final long epochs;
    private final IndexArray documents;
    private final IndexArray samplePosition;
    private final IndexArray sampleOffset;
    private final IndexArray shuffle;

    private SampleOrder(
            Request request,
            long tokensPerEpoch,
            long epochs,
            IndexArray documents,
            IndexArray samplePosition,
            IndexArray sampleOffset,
            IndexArray shuffle) {
        this.request = request;
        this.tokensPerEpoch = tokensPerEpoch;
        this.epochs = epochs;
        this.documents = documents;
        this.samplePosition = samplePosition;
        this.sampleOffset = sampleOffset;
        this.shuffle = shuffle;
    }

    /**
     * Builds the order.
     *
     * @throws DataException if the range is outside the data set or holds too few tokens
     */
    public static SampleOrder build(SequenceSizes sizes, Request request) {
        return build(sizes, request, new NumpyRandomState(request.seed()));
    }

    static SampleOrder build(SequenceSizes sizes, Request request, NumpyRandomState random) {
        if (request.endDocument() > sizes.sequences()) {
            throw new DataException("documents " + request.firstDocument() + ":"
                    + request.endDocument() + ": the data set has only " + sizes.sequences());
        }
        long tokens = 0;
        for (long d = request.firstDocument(); d < request.endDocument(); d++) {
            tokens = Math.addExact(tokens, sizes.size(d));
        }
        long epochs = epochs(tokens, request);
        long samples = samples(tokens, epochs, request.sequenceLength());
        if (samples < 2) {
            throw new DataException("documents " + request.firstDocument() + ":"
                    + request.endDocument() + " hold " + tokens + " tokens, which is one sample of "
                    + request.sequenceLength() + " in " + epochs + " epochs; at least two are"
                    + " needed: use more text, a shorter sequence or more samples");
        }
        IndexArray documents = documentOrder(request, epochs);
        random.shuffle(documents);
        IndexArray position = new IndexArray(samples + 1, documents.length());
        IndexArray offset = new IndexArray(samples + 1, Integer.MAX_VALUE);
        cutSamples(sizes, documents, request.sequenceLength(), position, offset);
        IndexArray shuffle = new IndexArray(samples, samples);
        for (long i = 0; i < samples; i++) {
            shuffle.set(i, i);
        }
        random.shuffle(shuffle);
        return new SampleOrder(request, tokens, epochs, documents, position, offset, shuffle);
    }

    /** The smallest E of at least 1 whose tokens give the requested samples. */
    private static long epochs(long tokensPerEpoch, Request request) {
        long needed = Math.addExact(
                Math.multiplyExact(request.samples(), request.sequenceLength()), 1L);
        return Math.max(1, Math.ceilDiv(needed, tokensPerEpoch));
    }

    private static long samples(long tokensPerEpoch, long epochs, int sequenceLength) {
        return (Math.multiplyExact(epochs, tokensPerEpoch) - 1) / sequenceLength;
    }

    private static IndexArray documentOrder(Request request, long epochs) {
        long count = request.endDocument() - request.firstDocument();
        IndexArray documents =
                new IndexArray(Math.multiplyExact(count, epochs), request.endDocument());
        long at = 0;
        for (long epoch = 0; epoch < epochs; epoch++) {
            for (long d = request.firstDocument(); d < request.endDocument(); d++) {
                documents.set(at++, d);
            }
        }
        return documents;
    }

    private static void cutSamples(SequenceSizes sizes, IndexArray documents, int sequenceLength,
            IndexArray position, IndexArray offset) {
        long document = 0;
        long start = 0;
        for (long sample = 1; sample < position.length(); sample++) {
            long remaining = sequenceLength + 1L;
            while (true) {
                long left = sizes.size(documents.get(document)) - start;
                if (left >= remaining) {
                    start += remaining - 1;
                    break;
                }
                remaining -= left;
                document++;
                start = 0;
            }
            position.set(sample, document);
            offset.set(sample, start);
        }
    }

    /** What this order was built for. */
    public Request request() {
        return request;
    }

    /** Tokens of the chosen documents. */
    public long tokensPerEpoch() {
        return tokensPerEpoch;
    }

    /** E, the passes over the documents that were pooled. */
    public long epochs() {
        return epochs;
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
        return samplePosition.get(sample);
    }

    /** Where sample {@code sample} (0 to n) starts: the token within that document. */
    public int sampleOffset(long sample) {
        return (int) sampleOffset.get(sample);
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
}
