package castalia.deploy.bench;

import castalia.workers.data.SequenceSizes;

/**
 * Made-up lengths of documents, without memory: most are short, some long, as of web text. The
 * length of document d is a quarter of the mean plus a skewed draw from SplitMix64's finaliser.
 *
 * @param sequences how many documents
 * @param mean about the mean length, at least 8
 */
record SyntheticSizes(long sequences, int mean) implements SequenceSizes {
    @Override
    public int size(long sequence) {
        long z = sequence * 0x9e3779b97f4a7c15L + 0x632be59bd9b4e019L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        z ^= z >>> 31;
        long uniform = z >>> 44; // 20 bits
        // The cube of a uniform number has a quarter of its range as its mean.
        long square = (uniform * uniform) >>> 20;
        long cube = (square * uniform) >>> 20;
        return mean / 4 + (int) ((cube * 3 * mean) >>> 20);
    }
}
