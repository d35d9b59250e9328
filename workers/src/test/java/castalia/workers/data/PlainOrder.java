package castalia.workers.data;

import java.util.stream.IntStream;

/** The loops of GPT-NeoX's {@code _build_index_mappings} as they stand there, on int arrays. */
record PlainOrder(int[] documents, int[] samples, int[] shuffle) {
    static PlainOrder of(int[] sizes, SampleOrder.Request request) {
        int first = (int) request.firstDocument();
        int count = (int) request.endDocument() - first;
        int length = request.sequenceLength();
        long perEpoch = 0;
        for (int i = 0; i < count; i++) {
            perEpoch += sizes[first + i];
        }
        int epochs = 0;
        long total = 0;
        do {
            epochs++;
            total += perEpoch;
        } while ((total - 1) / length < request.samples());
        NumpyRandomState random = new NumpyRandomState(request.seed());
        int[] documents =
                IntStream.range(0, epochs * count).map(i -> first + i % count).toArray();
        random.shuffle(documents);
        int n = (int) ((epochs * perEpoch - 1) / length);
        int[] samples = new int[2 * (n + 1)];
        int document = 0;
        int offset = 0;
        for (int sample = 1; sample <= n; sample++) {
            int remaining = length + 1;
            while (remaining != 0) {
                int left = sizes[documents[document]] - offset;
                remaining -= left;
                if (remaining <= 0) {
                    offset += remaining + left - 1;
                    remaining = 0;
                } else {
                    document++;
                    offset = 0;
                }
            }
            samples[2 * sample] = document;
            samples[2 * sample + 1] = offset;
        }
        int[] shuffle = IntStream.range(0, n).toArray();
        random.shuffle(shuffle);
        return new PlainOrder(documents, samples, shuffle);
    }
}
