package castalia.workers.model;

/**
 * Brings the weights of a model's layers, where not all of them are in memory at once. Layers are
 * numbered as parameters are: 0 the embedding, 1 to L the blocks, L + 1 final norm and head.
 */
public interface LayerWeights {

    /** All weights are there already. */
    LayerWeights PRESENT = new LayerWeights() {
        @Override
        public void begin(boolean backward) {}

        @Override
        public void need(int layer) {}

        @Override
        public boolean takeAll() {
            return true;
        }
    };

    /**
     * Begins a pass, which needs the layers 0 to L + 1 and, if it goes backward, L to 1 after that.
     */
    void begin(boolean backward);

    /**
     * Waits until a layer's weights are in memory, where they stay until the next call. May end with
     * an exception of the exchange that brings them; the pass is then void.
     */
    void need(int layer);

    /**
     * Waits until all weights are in memory, where they stay during the next pass; false where there is
     * no room for all of them. May end as {@link #need}.
     */
    boolean takeAll();
}
