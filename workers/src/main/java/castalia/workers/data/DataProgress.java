package castalia.workers.data;

/** Told now and then how far something long has come. */
@FunctionalInterface
public interface DataProgress {
    /**
     * Says how far it is.
     *
     * @param done units of work done
     * @param total all of them, at least 1; the same in every call
     */
    void at(long done, long total);

    /** Tells nobody. */
    static DataProgress none() {
        return (_, _) -> {};
    }
}
