package castalia.workers.runtime;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.ChunkCarrier;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TrainingRank;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;

/** Brings the chunks of an installed rank to where its generation starts. */
final class Installer {

    private final WorkerParts parts;
    private final ChunkGrid grid;
    private long diskBytes;

    Installer(WorkerParts parts) {
        this.parts = parts;
        this.grid = parts.settings().grid();
    }

    /** Bytes read from checkpoints so far. */
    long diskBytes() {
        return diskBytes;
    }

    /** Sets, reads or checks every chunk of the rank's placement and completes its weights. */
    void bring(TrainingRank rank, Start start, boolean gather) {
        switch (start) {
            case Start.Initial() -> StateTransfer.initialise(rank, parts.initial());
            case Start.Checkpoint(long step) -> load(rank, step);
            case Start.Memory(ScalarState scalars, _, List<ReshardPlan.Move> moves) -> {
                ChunkCarrier.carry(rank, grid, scalars, moves);
                rank.resume(scalars);
                if (gather || rank.placement().layout().fetchesWeights()) {
                    rank.gather();
                } else if (rank.weightsVersion() != scalars.step()) {
                    throw new IllegalStateException("compute weights of version "
                            + rank.weightsVersion() + " where the generation starts at "
                            + scalars.step() + " and nobody sends any");
                }
            }
        }
    }

    private void load(TrainingRank rank, long step) {
        try {
            CheckpointPort.Reading reading = parts.checkpoints().open(step);
            StateTransfer.load(rank, grid, reading.scalars(), (chunk, weights, first, second) -> {
                reading.read(chunk, weights, first, second);
                diskBytes += 3 * weights.byteSize();
            });
            for (Chunk chunk : grid.chunks()) {
                if (rank.placement().holds(rank.rank(), chunk.index())) {
                    requireDigest(rank, chunk.index(), step, reading.digest(chunk.index()));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void requireDigest(
            TrainingRank rank, int chunk, long step, StateDigest expected) {
        StateDigest found = rank.held().digest(chunk);
        if (!found.equals(expected)) {
            throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT, "chunk " + chunk
                    + " of the checkpoint of step " + step + " has the digest " + found.hex()
                    + " after loading; its manifest says " + expected.hex());
        }
    }
}
