package castalia.workers.rank;

import castalia.workers.exchange.Transport;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.LayerWeights;
import org.jspecify.annotations.Nullable;

/** How ranks come by the compute weights that others own, in one generation. */
sealed interface WeightPath {

    /**
     * The weights of a version are those in memory now: starts to bring them to whoever computes with
     * them, or lets them be fetched. Passes wait for what they need of them.
     *
     * @param whenComplete run when this rank has all that it is brought
     */
    void exchange(long version, Runnable whenComplete);

    /** Whether the weights of a version are on their way to this rank. */
    boolean brings(long version);

    /**
     * Waits for what is on its way: to be called where no pass begins next, before anything else is
     * exchanged.
     */
    void settle();

    /** Says that the weights of a version are next, and that nobody here reads older ones. */
    void expect(long version);

    /**
     * To be called before the weights change: when it returns, nobody reads them, or any payload that
     * was sent before. May end with an exception of the transport.
     */
    void withdraw();

    /** After {@link #withdraw}: the weights are those of a new version, and did not change. */
    void skipped(long version);

    /** Says of the next pass whether another of the same version follows it for sure. */
    void followed(boolean byAnother);

    /** Who brings a model its weights. */
    LayerWeights layers();

    /**
     * ZeRO 0 to 2: everybody gets all weights of its slices, while its next pass begins: a layer is
     * waited for where it is needed first.
     *
     * <p>What was sent does not change while anybody takes it: who votes took all of it before, and new
     * weights are made when all votes are there.
     */
    final class Gathered implements WeightPath, LayerWeights {

        private final long generation;
        private final ComputeWeights weights;
        private final WeightGather gather;
        private final Transport transport;
        private @Nullable Coming coming;

        /**
         * Weights on their way.
         *
         * @param group the first of {@link WeightGather#groups} that is not here yet
         */
        private record Coming(long version, int group, Runnable whenComplete) {}

        Gathered(long generation, ComputeWeights weights, WeightGather gather,
                Transport transport) {
            this.generation = generation;
            this.weights = weights;
            this.gather = gather;
            this.transport = transport;
        }

        @Override
        public void expect(long version) {
            gather.expect(generation, version, weights::of);
        }

        @Override
        public void exchange(long version, Runnable whenComplete) {
            if (gather.begin(generation, version, weights::of)) {
                coming = new Coming(version, 0, whenComplete);
            } else {
                whenComplete.run();
            }
        }

        @Override
        public boolean brings(long version) {
            Coming now = coming;
            return now != null && now.version == version;
        }

        @Override
        public void settle() {
            receive(gather.groups() - 1);
        }

        @Override
        public void begin(boolean backward) {}

        @Override
        public void need(int layer) {
            receive(gather.group(layer));
        }

        @Override
        public boolean takeAll() {
            settle();
            return true;
        }

        private void receive(int last) {
            for (Coming now = coming; now != null && now.group <= last; now = coming) {
                gather.receive(generation, now.version, now.group, weights::of);
                boolean all = now.group == gather.groups() - 1;
                coming = all ? null
                        : new Coming(now.version, now.group + 1, now.whenComplete);
                if (all) {
                    now.whenComplete.run();
                }
            }
        }

        @Override
        public void withdraw() {
            transport.drain();
        }

        /** Everybody has them. */
        @Override
        public void skipped(long version) {}

        @Override
        public void followed(boolean byAnother) {}

        @Override
        public LayerWeights layers() {
            return this;
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
        public void exchange(long version, Runnable whenComplete) {
            layers.version(version);
            transport.serve(version, weights.served());
            whenComplete.run();
        }

        @Override
        public boolean brings(long version) {
            return false;
        }

        @Override
        public void settle() {}

        @Override
        public void withdraw() {
            transport.withdraw();
            transport.drain();
        }

        @Override
        public void skipped(long version) {
            exchange(version, () -> {});
        }

        @Override
        public void followed(boolean byAnother) {
            layers.followed(byAnother);
        }
    }
}
