package castalia.protocol.wire;

/** Bytes from outside are not a message of the kind expected. */
public final class MalformedMessageException extends Exception {

    private static final long serialVersionUID = 1L;

    private final String what;
    private final String where;

    /**
     * Describes what is wrong.
     *
     * @param what kind of message, for example "checkpoint manifest"
     * @param where path of the field, empty for the message as a whole
     * @param detail what is wrong with it
     */
    public MalformedMessageException(String what, String where, String detail) {
        super(what + (where.isEmpty() ? "" : ", " + where) + ": " + detail);
        this.what = what;
        this.where = where;
    }

    /** Kind of the message. */
    public String what() {
        return what;
    }

    /** Path of the field, empty for the message as a whole. */
    public String where() {
        return where;
    }
}
