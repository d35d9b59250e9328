package castalia.workers.rank;

import castalia.protocol.step.VirtualRanks.Block;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.LayerwiseReducer;
import castalia.workers.exchange.LeafReducer;
import castalia.workers.model.FlatViews;
import java.util.BitSet;

/** How the gradients of a rank's virtual ranks become the finished ones of the chunks it holds. */
sealed interface GradientPath {

    /**
     * Computes and reduces.
     *
     * @param requireCurrent ends the work by throwing when the generation is over
     */
    void reduce(long generation, long step, GradientFold.Leaf leaf, Runnable requireCurrent);

    /** ZeRO 0 and 1: the rank folds what it computes; parts leave while the last pass runs. */
    record Folded(GradientFold fold, GradientReducer reducer, BitSet early)
            implements GradientPath {

        static Folded of(GradientFold fold, GradientReducer reducer) {
            BitSet early = new BitSet();
            for (int chunk : reducer.early()) {
                early.set(chunk);
            }
            return new Folded(fold, reducer, early);
        }

        @Override
        public void reduce(
                long generation, long step, GradientFold.Leaf leaf, Runnable requireCurrent) {
            reducer.begin(generation, step);
            FlatViews[] folded = fold.fold(leaf, (chunk, of) -> {
                if (early.get(chunk)) {
                    reducer.send(generation, step, chunk, of);
                }
            }, !early.isEmpty());
            requireCurrent.run();
            reducer.finish(generation, step, folded);
        }
    }

    /** ZeRO 3, one micro-batch per virtual rank: as {@link Leaves}, layer by layer in windows. */
    record Layers(Block block, FlatViews gradient, LayerwiseReducer reducer)
            implements GradientPath {

        @Override
        public void reduce(
                long generation, long step, GradientFold.Leaf leaf, Runnable requireCurrent) {
            reducer.begin(generation, step);
            for (int round = 0; round < reducer.rounds(); round++) {
                boolean computes = round < block.count();
                reducer.begin(generation, step, round,
                        computes ? block.at(round) : LayerwiseReducer.NO_LEAF);
                if (computes) {
                    leaf.compute(block.at(round), gradient, reducer::layerDone);
                }
                requireCurrent.run();
                reducer.end();
            }
            reducer.finish();
        }
    }

    /** ZeRO 2 and 3: every virtual rank's gradient leaves at once, and owners fold. */
    record Leaves(Block block, FlatViews gradient, LeafReducer reducer, ByLayer layers)
            implements GradientPath {

        @Override
        public void reduce(
                long generation, long step, GradientFold.Leaf leaf, Runnable requireCurrent) {
            reducer.begin(generation, step);
            for (int round = 0; round < reducer.rounds(); round++) {
                if (round < block.count()) {
                    int virtualRank = block.at(round);
                    layers.begin();
                    leaf.compute(virtualRank, gradient, layer -> layers.visit(layer,
                            chunk -> reducer.send(generation, step, chunk, virtualRank, gradient)));
                    layers.rest(
                            chunk -> reducer.send(generation, step, chunk, virtualRank, gradient));
                }
                requireCurrent.run();
                reducer.fold(generation, step, round, gradient);
            }
        }
    }
}
