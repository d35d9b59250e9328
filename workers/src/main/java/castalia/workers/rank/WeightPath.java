package castalia.workers.rank;

import castalia.workers.exchange.Transport;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.LayerWeights;

/** How ranks come by the compute weights that others own, in one generation. */
sealed interface WeightPath {

    /**
     * The weights of a version are those in memory now: brings them to whoever computes with them, or
     * lets them be fetched.
     */
    void exchange(long version);

    /** Says that the weights of a version are next, and that nobody here reads older ones. */
    void expect(long version);

    /**
     * To be called before the weights change: when it returns, nobody reads them any more. May end
     * with an exception of the transport.
     */
    void withdraw();

    /** After {@link #withdraw}: the weights are those of a new version, and did not change. */
    void skipped(long version);

    /** Says of the next pass whether another of the same version follows it for sure. */
    void followed(boolean byAnother);

    /** Who brings a model its weights. */
    LayerWeights layers();

    /** ZeRO 0 to 2: everybody gets all weights of its slices before it computes. */
    record Gathered(
            long generation, ComputeWeights weights, WeightGather gather) implements WeightPath {

        @Override
        public void expect(long version) {
            gather.expect(generation, version, weights::of);
        }

        @Override
        public void exchange(long version) {
            gather.gather(generation, version, weights::of);
        }

        /** What was sent may change: whoever exchanged drained the transport. */
        @Override
        public void withdraw() {}

        /** Everybody has them. */
        @Override
        public void skipped(long version) {}

        @Override
        public void followed(boolean byAnother) {}

        @Override
        public LayerWeights layers() {
            return LayerWeights.PRESENT;
        }
    }

    /**
     * ZeRO 3: owners publish their weights, and ranks fetch them layer by layer.
     *
     * <p>What is published does not change while anybody reads it. A rank withdraws version s when all
     * votes of step s are there. A rank votes when its passes of the step are over, and it has taken
     * by then all it asked for; so nobody still waits for an answer. Where the generation ends
     * instead, the transport is closed before weights are rolled forward, freed or given another
     * place, and it is not closed while anything is read ({@link GenerationLinks#close}).
     */
    record Served(Transport transport, ComputeWeights weights, FetchedLayers layers)
            implements WeightPath {

        /** Nothing comes before it is asked for. */
        @Override
        public void expect(long version) {}

        @Override
        public void exchange(long version) {
            layers.version(version);
            transport.serve(version, weights.served());
        }

        @Override
        public void withdraw() {
            transport.withdraw();
        }

        @Override
        public void skipped(long version) {
            exchange(version);
        }

        @Override
        public void followed(boolean byAnother) {
            layers.followed(byAnother);
        }
    }
}
