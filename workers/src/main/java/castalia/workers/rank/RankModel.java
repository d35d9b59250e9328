package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import castalia.workers.exchange.TensorExchange;
import castalia.workers.model.Losses;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.NeoxModel;
import castalia.workers.state.HeldChunks;
import org.jspecify.annotations.Nullable;

/**
 * The model of the tensor slices that a rank computes, and its weights. Both stay while the slices
 * stay the same from one generation to the next.
 */
final class RankModel implements AutoCloseable {

    private final ModelPlan plan;
    private final ChunkGrid grid;
    private final Device device;
    private final ComputeWeights weights;
    private final int passes;
    private @Nullable NeoxModel model;
    private @Nullable Losses losses;
    private @Nullable WeightPath path;

    /**
     * Of no slices yet.
     *
     * @param held what the rank holds; the caller's
     * @param passes of a step on all ranks: as many losses are kept until they are read
     */
    RankModel(
            ModelPlan plan, HeldChunks held, ChunkGrid grid, Device device, int passes) {
        this.passes = passes;
        this.plan = plan;
        this.grid = grid;
        this.device = device;
        this.weights = new ComputeWeights(held, grid, plan.compute(), device::arena);
    }

    /**
     * Takes a rank's place: its slices, and room for the chunks it holds and the weights it owns for
     * others.
     *
     * @return whether the weights are new memory that has to be filled
     */
    boolean place(Placement placement, int rank) {
        boolean anew = use(placement.slices(rank), placement.layout().fetchesWeights());
        weights.own(placement, rank);
        return anew || weights.windowed();
    }

    private boolean use(SliceBlock slices, boolean inWindows) {
        if (slices.equals(weights.views().space().slices()) && inWindows == weights.windowed()
                && (model != null) == (slices.count() > 0)) {
            return false;
        }
        closeModel();
        weights.use(new LocalSpace(grid, slices), inWindows);
        if (slices.count() > 0) {
            model = new NeoxModel(plan, grid, device, weights.views(), true);
            losses = new Losses(plan, device, passes);
        }
        return true;
    }

    /** Gives the model a generation's exchanges: with its replica, and of weights. */
    void connect(GenerationLinks links) {
        path = links.weights();
        NeoxModel now = model;
        if (now == null) {
            return;
        }
        if (links.placement.layout().tensorParallel() > 1) {
            now.connect(new TensorExchange(
                    links.generation(), links.placement, links.transport()));
        }
        now.bring(links.weights().layers());
    }

    /** See {@link WeightPath#followed}. */
    void followed(boolean byAnother) {
        WeightPath now = path;
        if (now != null) {
            now.followed(byAnother);
        }
    }

    ModelPlan plan() {
        return plan;
    }

    ComputeWeights weights() {
        return weights;
    }

    /** The model, or null for a rank that computes nothing. */
    @Nullable NeoxModel orNull() {
        return model;
    }

    /** The model of a rank that computes. */
    NeoxModel model() {
        NeoxModel now = model;
        if (now == null) {
            throw new IllegalStateException("this rank computes nothing");
        }
        return now;
    }

    /** The losses of a rank that computes. */
    Losses losses() {
        Losses now = losses;
        if (now == null) {
            throw new IllegalStateException("this rank computes nothing");
        }
        return now;
    }

    long allocatedBytes() {
        return weights.allocatedBytes() + (model == null ? 0 : model.allocatedBytes())
                + (losses == null ? 0 : losses.allocatedBytes());
    }

    private void closeModel() {
        NeoxModel last = model;
        Losses lastLosses = losses;
        model = null;
        losses = null;
        if (lastLosses != null) {
            lastLosses.close();
        }
        if (last != null) {
            last.close();
        }
    }

    @Override
    public void close() {
        try {
            closeModel();
        } finally {
            weights.close();
        }
    }
}
