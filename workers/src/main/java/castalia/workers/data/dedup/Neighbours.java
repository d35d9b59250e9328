package castalia.workers.data.dedup;

/** The first n members of a group and the last n: what a further member is compared with. */
final class Neighbours {
    private final long[] first;
    private final long[] last;
    private long count;

    Neighbours(int n) {
        first = new long[n];
        last = new long[n];
    }

    void clear() {
        count = 0;
    }

    boolean isEmpty() {
        return count == 0;
    }

    void add(long member) {
        if (count < first.length) {
            first[(int) count] = member;
        } else {
            last[(int) ((count - first.length) % last.length)] = member;
        }
        count++;
    }

    /** How many are remembered. */
    int size() {
        return (int) Math.min(count, first.length + last.length);
    }

    long get(int i) {
        return i < first.length ? first[i] : last[i - first.length];
    }
}
