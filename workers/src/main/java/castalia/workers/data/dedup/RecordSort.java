package castalia.workers.data.dedup;

/** Sorts records of some longs that lie one after another in an array, in place. */
final class RecordSort {
    private static final int SMALL = 12;

    private final long[] a;
    private final int width;
    private final long[] pivot;

    private RecordSort(long[] records, int width) {
        this.a = records;
        this.width = width;
        this.pivot = new long[width];
    }

    /** Sorts the first {@code count} records. */
    static void sort(long[] records, int width, int count) {
        new RecordSort(records, width).quick(0, count - 1);
    }

    private void quick(int from, int to) {
        int low = from;
        int high = to;
        while (high - low >= SMALL) {
            choosePivot(low, high);
            int i = low;
            int k = high;
            while (i <= k) {
                while (comparePivot(i) < 0) {
                    i++;
                }
                while (comparePivot(k) > 0) {
                    k--;
                }
                if (i <= k) {
                    swap(i++, k--);
                }
            }
            // The smaller side by a call, the other by the loop: the stack stays short.
            if (k - low < high - i) {
                quick(low, k);
                low = i;
            } else {
                quick(i, high);
                high = k;
            }
        }
        for (int i = low + 1; i <= high; i++) {
            for (int k = i; k > low && compare(k - 1, k) > 0; k--) {
                swap(k - 1, k);
            }
        }
    }

    /** The middle of three records at places that no order of the input is likely to spoil. */
    private void choosePivot(int low, int high) {
        int x = place(low, high, 1);
        int y = place(low, high, 2);
        int z = place(low, high, 3);
        int least = compare(x, y) <= 0 ? x : y;
        int most = least == x ? y : x;
        int middle = compare(z, least) <= 0 ? least : compare(z, most) >= 0 ? most : z;
        System.arraycopy(a, middle * width, pivot, 0, width);
    }

    private static int place(int low, int high, int which) {
        long random = Mixing.mix(((long) low << 32 | high) * 3 + which);
        return low + (int) Long.remainderUnsigned(random, high - low + 1L);
    }

    private int comparePivot(int record) {
        int at = record * width;
        for (int i = 0; i < width; i++) {
            if (a[at + i] != pivot[i]) {
                return a[at + i] < pivot[i] ? -1 : 1;
            }
        }
        return 0;
    }

    private int compare(int x, int y) {
        for (int i = 0; i < width; i++) {
            long left = a[x * width + i];
            long right = a[y * width + i];
            if (left != right) {
                return left < right ? -1 : 1;
            }
        }
        return 0;
    }

    private void swap(int x, int y) {
        for (int i = 0; i < width; i++) {
            long kept = a[x * width + i];
            a[x * width + i] = a[y * width + i];
            a[y * width + i] = kept;
        }
    }
}
