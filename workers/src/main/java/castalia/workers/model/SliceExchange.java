package castalia.workers.model;

import castalia.kernels.Buffer;

/**
 * What one rank of a replica gives to the ranks that share the replica's tensor slices, and takes
 * from them. All of them run the same passes, and in a pass the same sequence of calls: the n-th
 * {@link #send} of a rank meets the n-th {@link #receive} of the others.
 *
 * <p>Any method may end with an exception of the exchange, such as a lost peer; the pass is then
 * void, and what was sent may change.
 */
public interface SliceExchange {

    /** A rank that computes all slices: there is nobody to exchange with. */
    SliceExchange ALONE = new SliceExchange() {
        @Override
        public int position() {
            return 0;
        }

        @Override
        public int ranks() {
            return 1;
        }

        @Override
        public void begin() {
            throw nobody();
        }

        @Override
        public void send(Buffer[] blocks) {
            throw nobody();
        }

        @Override
        public void receive(Buffer[] blocks) {
            throw nobody();
        }

        @Override
        public void settle() {
            throw nobody();
        }

        private IllegalStateException nobody() {
            return new IllegalStateException("a model of some tensor slices is not connected");
        }
    };

    /** This rank's place among them, 0 to t-1: it computes the block of slices of that number. */
    int position();

    /** The ranks t of the replica. */
    int ranks();

    /** Starts a pass; what was sent in the pass before may change from now on. */
    void begin();

    /**
     * Starts giving {@code blocks[p]} to every other rank p. They must not change until {@link
     * #settle}; the array may.
     */
    void send(Buffer[] blocks);

    /**
     * Waits for what every other rank p gives to this one and writes it to {@code blocks[p]}, whose
     * size is that of what was sent.
     */
    void receive(Buffer[] blocks);

    /** Waits until everything sent may change again. */
    void settle();
}
