package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import castalia.workers.exchange.TensorExchange;
import castalia.workers.exchange.Transport;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.NeoxModel;
import org.jspecify.annotations.Nullable;

/**
 * The model of the tensor slices that a rank computes, and its weights. Both stay while the slices
 * stay the same from one generation to the next.
 */
final class RankModel implements AutoCloseable {

    private static final int MOST_ZERO = 2;

    private final ModelPlan plan;
    private final ChunkGrid grid;
    private final Device device;
    private final ComputeWeights weights;
    private @Nullable NeoxModel model;

    /** Of no slices yet. */
    RankModel(ModelPlan plan, ChunkGrid grid, Device device) {
        this.plan = plan;
        this.grid = grid;
        this.device = device;
        this.weights = new ComputeWeights(grid, plan.compute(), device::arena);
    }

    /**
     * Takes a rank's place: its slices, and room for the weights it owns for others.
     *
     * @return whether the weights are new memory that has to be filled
     * @throws CastaliaException for a ZeRO stage that is not supported
     */
    boolean place(Placement placement, int rank) {
        if (placement.layout().zero() > MOST_ZERO) {
            throw new CastaliaException(ErrorCode.UNSUPPORTED, "ZeRO stage "
                    + placement.layout().zero() + " is not supported; use 0, 1 or 2");
        }
        boolean anew = use(placement.slices(rank));
        weights.own(placement, rank);
        return anew;
    }

    private boolean use(SliceBlock slices) {
        if (slices.equals(weights.views().space().slices())
                && (model != null) == (slices.count() > 0)) {
            return false;
        }
        closeModel();
        weights.use(new LocalSpace(grid, slices));
        if (slices.count() > 0) {
            model = new NeoxModel(plan, grid, device, weights.views(), true);
        }
        return true;
    }

    /** Gives the model a generation's exchange with the other ranks of its replica. */
    void connect(long generation, Placement placement, Transport transport) {
        NeoxModel now = model;
        if (now != null && placement.layout().tensorParallel() > 1) {
            now.connect(new TensorExchange(generation, placement, transport));
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

    long allocatedBytes() {
        return weights.allocatedBytes() + (model == null ? 0 : model.allocatedBytes());
    }

    private void closeModel() {
        NeoxModel last = model;
        model = null;
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
