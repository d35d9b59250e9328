package castalia.deploy.cluster;

import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.CheckpointWriter;
import castalia.checkpoints.RunFolder;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.runtime.CheckpointPort;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** A worker's way to the checkpoints of the run's folder. */
final class FolderCheckpoints implements CheckpointPort {

    private final RunFolder folder;

    FolderCheckpoints(RunFolder folder) {
        this.folder = folder;
    }

    @Override
    public Writing begin(ScalarState scalars) {
        CheckpointWriter writer = new CheckpointWriter(folder, scalars, Manifest.NO_PARENT);
        return new Writing() {
            @Override
            public ChunkEntry add(
                    int chunk, StateDigest digest, MemorySegment weights, MemorySegment first,
                    MemorySegment second) throws IOException {
                return writer.add(chunk, digest, weights, first, second);
            }

            @Override
            public void settle() throws IOException {
                writer.settle();
            }
        };
    }

    @Override
    public Reading open(long step) throws IOException {
        CheckpointReader reader = CheckpointReader.open(folder, step);
        return new Reading() {
            @Override
            public ScalarState scalars() {
                return reader.manifest().scalarState();
            }

            @Override
            public StateDigest digest(int chunk) {
                return reader.manifest().chunks().get(chunk).digest();
            }

            @Override
            public void read(
                    int chunk, MemorySegment weights, MemorySegment first, MemorySegment second)
                    throws IOException {
                reader.read(chunk, weights, first, second);
            }
        };
    }
}
