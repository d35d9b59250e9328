package castalia.workers.data;

/** Is told how far a pass over texts is. */
@FunctionalInterface
public interface TextProgress {
    /** Tells nobody. */
    TextProgress NONE = (_, _, _, _) -> {};

    /**
     * Called now and then by the thread that asked for the work.
     *
     * @param readBytes bytes of the inputs, as stored, that are done
     * @param allBytes bytes of all inputs
     * @param textBytes bytes of text that this run has worked on
     * @param results tokens it made, or documents it kept
     */
    void show(long readBytes, long allBytes, long textBytes, long results);
}
