package castalia.actors.wire;

import castalia.actors.message.NodeSnapshot;
import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.KryoException;
import com.esotericsoftware.kryo.io.Output;
import com.esotericsoftware.kryo.util.Pool;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Snapshots to bytes and back by Kryo. The fingerprint of the build stands first, in plain bytes,
 * and is compared before Kryo sees anything.
 */
public final class SnapshotCodec {

    /** Most bytes of a snapshot. */
    public static final int MOST_BYTES = 128 << 10;

    private static final int LONGEST_BUILD = 128;
    private static final int POOLED = 4;

    private final byte[] build;
    private final Pool<Kryo> pool = new Pool<>(true, false, POOLED) {
        @Override
        protected Kryo create() {
            return SnapshotKryo.create();
        }
    };

    /** A codec for processes of the build with this fingerprint. */
    public SnapshotCodec(String build) {
        this.build = build.getBytes(StandardCharsets.UTF_8);
        if (this.build.length > LONGEST_BUILD) {
            throw new IllegalArgumentException("a fingerprint of " + this.build.length + " bytes");
        }
    }

    /**
     * A snapshot's bytes.
     *
     * @throws RefusedMessageException if they are more than {@link #MOST_BYTES}
     */
    public byte[] encode(NodeSnapshot snapshot) {
        Output out = new Output(4096, MOST_BYTES);
        Kryo kryo = pool.obtain();
        try {
            out.writeByte(build.length);
            out.writeBytes(build);
            kryo.writeClassAndObject(out, snapshot);
            return out.toBytes();
        } catch (KryoException e) {
            throw new RefusedMessageException("a snapshot cannot be written: " + e.getMessage());
        } finally {
            pool.free(kryo);
        }
    }

    /**
     * Reads what {@link #encode} wrote.
     *
     * @throws RefusedMessageException if the bytes are anything else
     */
    public NodeSnapshot decode(byte[] bytes) {
        if (bytes.length > MOST_BYTES) {
            throw new RefusedMessageException("a snapshot of " + bytes.length + " bytes; at most "
                    + MOST_BYTES + " are allowed");
        }
        BoundedInput in = new BoundedInput(bytes);
        requireBuild(bytes);
        in.setPosition(1 + build.length);
        Kryo kryo = pool.obtain();
        try {
            Object read = kryo.readClassAndObject(in);
            if (!(read instanceof NodeSnapshot snapshot)) {
                throw new RefusedMessageException("not a snapshot");
            }
            if (!in.end()) {
                throw new RefusedMessageException("a snapshot with bytes after its end");
            }
            return snapshot;
        } catch (RefusedMessageException e) {
            throw e;
        } catch (RuntimeException e) { // Kryo's own, and those of classes it fills
            throw new RefusedMessageException("a damaged snapshot: " + e.getMessage());
        } finally {
            pool.free(kryo);
        }
    }

    private void requireBuild(byte[] bytes) {
        int end = 1 + build.length;
        if (bytes.length < end || bytes[0] != build.length
                || !Arrays.equals(bytes, 1, end, build, 0, build.length)) {
            throw new RefusedMessageException("a snapshot of another build");
        }
    }
}
