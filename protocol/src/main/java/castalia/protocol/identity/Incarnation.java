package castalia.protocol.identity;

/** One process's life: a random number it draws at its start and never stores. */
public record Incarnation(long id) implements Comparable<Incarnation> {

    @Override
    public int compareTo(Incarnation other) {
        return Long.compareUnsigned(id, other.id);
    }

    /** 16 hexadecimal digits. */
    @Override
    public String toString() {
        return String.format("%016x", id);
    }
}
