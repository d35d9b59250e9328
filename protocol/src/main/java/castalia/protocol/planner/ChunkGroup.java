package castalia.protocol.planner;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.Placement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Chunks with the same owner, buddies and users: there are far fewer groups than chunks. */
final class ChunkGroup {

    private static final long SMALLEST_BUFFER = 4096;

    private final int chunk;
    private final int owner;
    private final Users users;
    private int count;
    private long elements;
    private long gradientBuffers;
    private long weightBuffers;

    private record Key(int owner, int buddy, int second, Users users) {}

    private ChunkGroup(int chunk, int owner, Users users) {
        this.chunk = chunk;
        this.owner = owner;
        this.users = users;
    }

    /** All chunks of a placement, in groups. */
    static List<ChunkGroup> of(Workload work, Placement placement) {
        List<ChunkGroup> groups = new ArrayList<>();
        Map<Key, ChunkGroup> byKey = new HashMap<>();
        for (Chunk chunk : work.grid().chunks()) {
            int c = chunk.index();
            Users users = Users.of(placement, chunk);
            Key key = new Key(
                    placement.owner(c), placement.buddy(0, c), placement.buddy(1, c), users);
            ChunkGroup group = byKey.get(key);
            if (group == null) {
                group = new ChunkGroup(c, placement.owner(c), users);
                byKey.put(key, group);
                groups.add(group);
            }
            group.count++;
            group.elements += chunk.length();
            group.gradientBuffers += buffer((long) Float.BYTES * chunk.length());
            group.weightBuffers += buffer((long) work.computeBytes() * chunk.length());
        }
        return groups;
    }

    /** Buffers of frames come in powers of two. */
    private static long buffer(long payload) {
        return Math.max(SMALLEST_BUFFER, Long.highestOneBit(payload - 1) << 1);
    }

    /** One of the chunks, to ask a placement about. */
    int chunk() {
        return chunk;
    }

    int owner() {
        return owner;
    }

    /** Who computes with the chunks. */
    Users users() {
        return users;
    }

    /** Number of chunks. */
    int count() {
        return count;
    }

    /** Elements of all chunks. */
    long elements() {
        return elements;
    }

    /** Bytes of buffers for a frame of each chunk's gradient. */
    long gradientBuffers() {
        return gradientBuffers;
    }

    /** Bytes of buffers for a frame of each chunk's weights. */
    long weightBuffers() {
        return weightBuffers;
    }
}
