package castalia.actors.wire;

import akka.actor.ExtendedActorSystem;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.javadsl.Adapter;
import akka.serialization.SerializerWithStringManifest;
import castalia.actors.message.NodeSnapshot;

/** Snapshots of processes, by Kryo, between equal builds. */
public final class SnapshotSerializer extends SerializerWithStringManifest {

    /** Names this serializer on the wire; never changes. */
    public static final int IDENTIFIER = 7_302;

    private static final String KIND = "snapshot";

    private final ActorSystem<Void> system;
    private final SnapshotCodec codec;

    /** Made by Akka, by its name in the configuration. */
    public SnapshotSerializer(ExtendedActorSystem system) {
        this.system = Adapter.toTyped(system);
        this.codec = new SnapshotCodec(system.settings().config().getString("castalia.build"));
    }

    @Override
    public int identifier() {
        return IDENTIFIER;
    }

    @Override
    public String manifest(Object message) {
        return KIND;
    }

    @Override
    public byte[] toBinary(Object message) {
        if (!(message instanceof NodeSnapshot snapshot)) {
            throw new RefusedMessageException("no snapshot: " + message.getClass());
        }
        byte[] bytes = codec.encode(snapshot);
        TrafficCounter.of(system).sent(KIND, bytes.length);
        return bytes;
    }

    @Override
    public Object fromBinary(byte[] bytes, String manifest) {
        try {
            NodeSnapshot snapshot = codec.decode(bytes);
            TrafficCounter.of(system).received(KIND, bytes.length);
            return snapshot;
        } catch (RefusedMessageException e) {
            TrafficCounter.of(system).refused(KIND);
            throw e;
        }
    }
}
