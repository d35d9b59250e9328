package castalia.workers.rank;

import castalia.protocol.layout.ChunkGrid;
import java.util.Arrays;
import java.util.function.IntConsumer;

/** Visits chunks layer by layer, each once, as a backward pass says that layers are finished. */
final class ByLayer {

    private final int[][] chunks;
    private final boolean[] visited;

    /** Visits some chunks of a grid; those of a layer in the order given. */
    ByLayer(ChunkGrid grid, int[] of) {
        this.chunks = grid.byLayer(of);
        this.visited = new boolean[chunks.length];
    }

    /** Begins anew. */
    void begin() {
        Arrays.fill(visited, false);
    }

    /** Visits the chunks of a layer, unless they were visited. */
    void visit(int layer, IntConsumer each) {
        if (!visited[layer]) {
            visited[layer] = true;
            for (int chunk : chunks[layer]) {
                each.accept(chunk);
            }
        }
    }

    /** Visits the chunks of all layers that are left, the last layer first. */
    void rest(IntConsumer each) {
        for (int layer = chunks.length - 1; layer >= 0; layer--) {
            visit(layer, each);
        }
    }
}
