package castalia.workers.data;

import castalia.workers.data.SampleOrder.Request;

/**
 * How large an order is, before it is built.
 *
 * @param tokensPerEpoch tokens of the chosen documents
 * @param epochs E, the smallest of at least 1 whose tokens give the samples asked for
 * @param documents entries of the document list, E times the documents chosen
 * @param samples n, the samples cut
 */
public record OrderPlan(long tokensPerEpoch, long epochs, long documents, long samples) {

    /**
     * Plans an order.
     *
     * @throws DataException if the range is outside the data set, holds no tokens, or the order
     *     would be too large to count
     */
    public static OrderPlan of(SequenceSizes sizes, Request request) {
        if (request.endDocument() > sizes.sequences()) {
            throw new DataException(request.range() + ": the data set has only "
                    + sizes.sequences());
        }
        long tokens = 0;
        for (long d = request.firstDocument(); d < request.endDocument(); d++) {
            tokens = Math.addExact(tokens, sizes.size(d));
        }
        if (tokens == 0) {
            throw new DataException(request.range() + " hold no tokens at all; use other documents");
        }
        try {
            int length = request.sequenceLength();
            long needed = Math.addExact(Math.multiplyExact(request.samples(), length), 1L);
            long epochs = Math.max(1, Math.ceilDiv(needed, tokens));
            long samples = (Math.multiplyExact(epochs, tokens) - 1) / length;
            long documents = Math.multiplyExact(
                    request.endDocument() - request.firstDocument(), epochs);
            OrderPlan plan = new OrderPlan(tokens, epochs, documents, samples);
            Math.addExact(plan.work(), plan.bytes(request));
            return plan;
        } catch (ArithmeticException e) {
            throw new DataException("samples " + request.samples() + " of sequence length "
                    + request.sequenceLength() + " are more than can be counted; ask for fewer", e);
        }
    }

    /** Bytes of the three arrays. */
    public long bytes(Request request) {
        return Math.addExact(documentBytes(request), Math.addExact(pairBytes(), shuffleBytes()));
    }

    long documentBytes(Request request) {
        return IndexArray.bytes(documents, request.endDocument());
    }

    long pairBytes() {
        return IndexArray.bytes(Math.multiplyExact(2L, samples + 1), largestPair());
    }

    long shuffleBytes() {
        return IndexArray.bytes(samples, samples);
    }

    /** The largest number of a sample's start: a position of the list, or a token of a document. */
    long largestPair() {
        return Math.max(documents, Integer.MAX_VALUE);
    }

    /** Entries of all arrays, a measure of the work. */
    long work() {
        return Math.addExact(documents, Math.multiplyExact(2L, samples));
    }
}
