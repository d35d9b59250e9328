package castalia.workers.data.dedup;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MinHashTest {
    @TempDir Path folder;

    @Test
    void thePilesThresholdGivesSixteenBandsOfEight() {
        MinHash minHash = MinHash.forThreshold(DedupOptions.PILE);
        assertThat(minHash).isEqualTo(new MinHash(16, 8));
        assertThat(minHash.found(0.87)).isBetween(0.998, 0.999);
        assertThat(minHash.found(0.5)).isLessThan(0.07);
    }

    /** Pairs of sets of a known similarity become candidates as often as the formula says. */
    @Test
    void candidatesAreAsFrequentAsTheFormulaSays() {
        MinHash minHash = MinHash.forThreshold(DedupOptions.PILE);
        Random random = new Random(77);
        for (int common : new int[] {50, 70, 80}) {
            int found = 0;
            int trials = 3000;
            for (int t = 0; t < trials; t++) {
                long[] a = random.longs(100).toArray();
                long[] b = Arrays.copyOf(a, 100);
                for (int i = common; i < 100; i++) {
                    b[i] = random.nextLong();
                }
                long[] keysA = minHash.keys(a);
                long[] keysB = minHash.keys(b);
                boolean any = false;
                for (int k = 0; k < keysA.length; k++) {
                    any |= keysA[k] == keysB[k];
                }
                found += any ? 1 : 0;
            }
            double expected = minHash.found(common / (200.0 - common));
            double deviation = Math.sqrt(expected * (1 - expected) / trials);
            assertThat((double) found / trials).as("similarity %s/%s", common, 200 - common)
                    .isBetween(expected - 5 * deviation - 1e-3, expected + 5 * deviation + 1e-3);
        }
    }

    @Test
    void recordsAreSortedWhateverFitsInMemory() throws IOException {
        Random random = new Random(4);
        for (int count : new int[] {0, 1, 15, 16, 17, 1000, 50_000}) {
            List<long[]> expected = new ArrayList<>();
            try (RecordSorter sorter = new RecordSorter(folder, "r" + count, 3, 16 * 24)) {
                for (int i = 0; i < count; i++) {
                    long[] record = {random.nextInt(40) - 20, random.nextLong(), i % 3};
                    if (i % 5 == 4) {
                        record = expected.get(random.nextInt(expected.size())).clone();
                    }
                    sorter.add(record);
                    expected.add(record);
                }
                expected.sort(Arrays::compare);
                try (RecordSorter.Records sorted = sorter.sorted()) {
                    long[] record = new long[3];
                    for (long[] one : expected) {
                        assertThat(sorted.next(record)).isTrue();
                        assertThat(record).isEqualTo(one);
                    }
                    assertThat(sorted.next(record)).isFalse();
                }
            }
        }
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void sortedReversedAndEqualRecordsAreSortedToo() {
        int n = 200_000;
        long[] up = new long[n];
        Arrays.setAll(up, i -> i);
        long[] down = new long[n];
        Arrays.setAll(down, i -> n - 1 - i);
        RecordSort.sort(down, 1, n);
        assertThat(down).isEqualTo(up);
        RecordSort.sort(up, 1, n);
        assertThat(up).isEqualTo(down);
        long[] equal = new long[n];
        RecordSort.sort(equal, 1, n);
        assertThat(equal).containsOnly(0);
    }

    @Test
    void setsAreRanked() {
        DocumentSet set = new DocumentSet();
        for (long document : new long[] {0, 3, 63, 64, 700, 100_000}) {
            set.add(document);
            set.add(document);
        }
        long[] ranks = set.ranks();
        assertThat(set.size()).isEqualTo(6);
        assertThat(set.rank(0, ranks)).isZero();
        assertThat(set.rank(64, ranks)).isEqualTo(3);
        assertThat(set.rank(100_000, ranks)).isEqualTo(5);
        assertThat(set.contains(700)).isTrue();
        assertThat(set.contains(701)).isFalse();
        assertThat(set.contains(1 << 30)).isFalse();
    }
}
