package castalia.workers.data.text;

/** A document as it was read. */
public final class RawDocument {
    private final int part;
    private final long place;
    private final byte[] content;

    RawDocument(int part, long place, byte[] content) {
        this.part = part;
        this.place = place;
        this.content = content;
    }

    /** Index of its part. */
    public int part() {
        return part;
    }

    /**
     * The 1-based line of a file of JSON lines; else the byte of the (uncompressed) file at which
     * it starts.
     */
    public long place() {
        return place;
    }

    /** The bytes of the text or, without its end, of the JSON line; not a copy, not to be changed. */
    public byte[] content() {
        return content;
    }
}
