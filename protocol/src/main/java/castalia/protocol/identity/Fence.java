package castalia.protocol.identity;

import java.util.Comparator;

/**
 * A generation under a term. Every frame, message and generation record carries it; whoever has
 * seen a newer one drops what carries an older one, and counts it.
 *
 * @param term a coordinator's claim, from 1; 0 before any
 * @param generation one agreed membership and placement, from 1; 0 before any
 */
public record Fence(long term, long generation) implements Comparable<Fence> {

    /** Older than any real one. */
    public static final Fence NONE = new Fence(0, 0);

    private static final Comparator<Fence> ORDER =
            Comparator.comparingLong(Fence::term).thenComparingLong(Fence::generation);

    public Fence {
        if (term < 0 || generation < 0) {
            throw new IllegalArgumentException("term " + term + ", generation " + generation);
        }
    }

    /** The next generation under {@code term}, which is not older than this one's. */
    public Fence next(long term) {
        if (term < this.term) {
            throw new IllegalArgumentException("term " + term + " is older than " + this.term);
        }
        return new Fence(term, generation + 1);
    }

    public boolean newerThan(Fence other) {
        return compareTo(other) > 0;
    }

    @Override
    public int compareTo(Fence other) {
        return ORDER.compare(this, other);
    }

    @Override
    public String toString() {
        return term + "." + generation;
    }
}
