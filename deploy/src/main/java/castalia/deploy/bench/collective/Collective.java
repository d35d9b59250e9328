package castalia.deploy.bench.collective;

/**
 * Two collectives over one bucket of F32, as one of several processes executes them. Every rank has a
 * gradient and a weight for each element; a share of the elements belongs to each rank.
 */
interface Collective extends AutoCloseable {

    /**
     * Adds all ranks' gradients of the elements that belong to this rank; returns when nothing of this
     * rank's is read any more.
     */
    void reduceScatter();

    /** Brings the weights of all elements from the rank each belongs to; returns as the other. */
    void allGather();

    /** The first element of this rank's share of the sums. */
    float sum();

    /** The first weight of a rank's share. */
    float weight(int rank);

    @Override
    void close();
}
