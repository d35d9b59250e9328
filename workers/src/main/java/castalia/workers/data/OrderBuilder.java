package castalia.workers.data;

import castalia.workers.data.SampleOrder.Request;
import java.io.IOException;
import java.lang.foreign.Arena;

/**
 * Builds the three arrays of an order one after another and hands each over when it is done: the
 * document list, the starts of the samples in pieces, the shuffled samples. No two of them have to
 * be in memory at once, beside the one piece.
 */
final class OrderBuilder {
    private static final int PIECE = 1 << 16;

    private final SequenceSizes sizes;
    private final Request request;
    private final OrderPlan plan;
    private final NumpyRandomState random;
    private final DataProgress progress;

    OrderBuilder(SequenceSizes sizes, Request request, OrderPlan plan, NumpyRandomState random,
            DataProgress progress) {
        this.sizes = sizes;
        this.request = request;
        this.plan = plan;
        this.random = random;
        this.progress = progress;
    }

    /** Takes finished entries in order. */
    @FunctionalInterface
    interface Sink {
        /**
         * Takes the next entries.
         *
         * @param values may change after the call
         * @param count the entries that are meant, from the first on
         */
        void take(IndexArray values, long count) throws IOException;
    }

    /** The document list, shuffled. */
    IndexArray documents(Arena arena) {
        IndexArray documents =
                IndexArray.allocate(plan.documents(), request.endDocument(), arena);
        long at = 0;
        for (long epoch = 0; epoch < plan.epochs(); epoch++) {
            for (long d = request.firstDocument(); d < request.endDocument(); d++) {
                documents.set(at++, d);
            }
        }
        random.shuffle(documents, (done, _) -> progress.at(done, plan.work()));
        return documents;
    }

    /** The starts of samples 0 to n, as pairs. */
    void starts(IndexArray documents, Sink sink) throws IOException {
        SampleCutter cutter = new SampleCutter(sizes, documents, request.sequenceLength());
        long all = plan.samples() + 1;
        try (Arena arena = Arena.ofConfined()) {
            long piece = Math.min(PIECE, all);
            IndexArray pairs = IndexArray.allocate(2 * piece, plan.largestPair(), arena);
            for (long done = 0; done < all; done += piece) {
                long count = Math.min(piece, all - done);
                cutter.next(pairs, count);
                sink.take(pairs, 2 * count);
                progress.at(plan.documents() + Math.min(done + count, plan.samples()), plan.work());
            }
        }
    }

    /** The samples, shuffled; after the documents, with the same generator. */
    IndexArray shuffle(Arena arena) {
        IndexArray shuffle = IndexArray.allocate(plan.samples(), plan.samples(), arena);
        shuffle.count();
        random.shuffle(shuffle, (done, _) ->
                progress.at(plan.documents() + plan.samples() + done, plan.work()));
        return shuffle;
    }
}
