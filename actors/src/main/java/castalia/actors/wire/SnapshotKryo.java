package castalia.actors.wire;

import castalia.actors.message.NodeSnapshot;
import castalia.actors.message.NodeSnapshot.ActorView;
import castalia.actors.message.NodeSnapshot.MemberView;
import castalia.actors.message.NodeSnapshot.TrafficView;
import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.KryoException;
import com.esotericsoftware.kryo.Registration;
import com.esotericsoftware.kryo.Serializer;
import com.esotericsoftware.kryo.io.Input;
import com.esotericsoftware.kryo.io.Output;
import com.esotericsoftware.kryo.util.DefaultClassResolver;
import java.util.ArrayList;
import java.util.List;

/**
 * All classes Kryo may read or write here, and their numbers. Lists are written by their counts,
 * which are checked against the bytes left.
 */
final class SnapshotKryo {

    private static final int SNAPSHOT = 20;
    private static final int MEMBER = 21;
    private static final int ACTOR = 22;
    private static final int TRAFFIC = 23;
    private static final int DEEPEST = 4;

    private SnapshotKryo() {}

    static Kryo create() {
        Kryo kryo = new Kryo(new NumbersOnly(), null);
        kryo.setRegistrationRequired(true);
        kryo.setReferences(false);
        kryo.setMaxDepth(DEEPEST);
        kryo.register(NodeSnapshot.class, new SnapshotSerializer(), SNAPSHOT);
        kryo.register(MemberView.class, new MemberSerializer(), MEMBER);
        kryo.register(ActorView.class, new ActorSerializer(), ACTOR);
        kryo.register(TrafficView.class, new TrafficSerializer(), TRAFFIC);
        return kryo;
    }

    /** Never looks a class up by a name in the bytes. */
    private static final class NumbersOnly extends DefaultClassResolver {
        @Override
        protected Registration readName(Input input) {
            throw new KryoException("a class by its name");
        }
    }

    /** A record's serializer: equal objects may be shared, so there is nothing to copy. */
    private abstract static class Fields<T> extends Serializer<T> {
        Fields() {
            super(false, true);
        }
    }

    private static <T> void writeList(Kryo kryo, Output out, List<T> list) {
        out.writeVarInt(list.size(), true);
        list.forEach(element -> kryo.writeObject(out, element));
    }

    private static <T> List<T> readList(Kryo kryo, Input in, Class<T> type) {
        int count = count(in);
        List<T> list = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            list.add(kryo.readObject(in, type));
        }
        return list;
    }

    private static int count(Input in) {
        if (!(in instanceof BoundedInput bounded)) {
            throw new KryoException("an input without bounds");
        }
        int count = bounded.readCount();
        if (count > NodeSnapshot.MOST) {
            throw new KryoException("a list of " + count);
        }
        return count;
    }

    private static String text(Input in) {
        String text = in.readString();
        if (text == null) {
            throw new KryoException("a text is missing");
        }
        return text;
    }

    private static final class SnapshotSerializer extends Fields<NodeSnapshot> {
        @Override
        public void write(Kryo kryo, Output out, NodeSnapshot snapshot) {
            out.writeString(snapshot.node());
            out.writeString(snapshot.address());
            out.writeLong(snapshot.pid());
            out.writeVarInt(snapshot.roles().size(), true);
            snapshot.roles().forEach(out::writeString);
            writeList(kryo, out, snapshot.members());
            writeList(kryo, out, snapshot.actors());
            writeList(kryo, out, snapshot.traffic());
            out.writeLong(snapshot.deadLetters());
        }

        @Override
        public NodeSnapshot read(Kryo kryo, Input in, Class<? extends NodeSnapshot> type) {
            String node = text(in);
            String address = text(in);
            long pid = in.readLong();
            int count = count(in);
            List<String> roles = new ArrayList<>(count);
            for (int i = 0; i < count; i++) {
                roles.add(text(in));
            }
            return new NodeSnapshot(node, address, pid, roles,
                    readList(kryo, in, MemberView.class),
                    readList(kryo, in, ActorView.class),
                    readList(kryo, in, TrafficView.class),
                    in.readLong());
        }
    }

    private static final class MemberSerializer extends Fields<MemberView> {
        @Override
        public void write(Kryo kryo, Output out, MemberView member) {
            out.writeString(member.address());
            out.writeString(member.status());
            out.writeBoolean(member.reachable());
            out.writeString(member.roles());
        }

        @Override
        public MemberView read(Kryo kryo, Input in, Class<? extends MemberView> type) {
            return new MemberView(text(in), text(in), in.readBoolean(), text(in));
        }
    }

    private static final class ActorSerializer extends Fields<ActorView> {
        @Override
        public void write(Kryo kryo, Output out, ActorView actor) {
            out.writeString(actor.path());
            out.writeBoolean(actor.running());
            out.writeLong(actor.restarts());
            out.writeLong(actor.processed());
            out.writeString(actor.failure());
        }

        @Override
        public ActorView read(Kryo kryo, Input in, Class<? extends ActorView> type) {
            return new ActorView(
                    text(in), in.readBoolean(), in.readLong(), in.readLong(), text(in));
        }
    }

    private static final class TrafficSerializer extends Fields<TrafficView> {
        @Override
        public void write(Kryo kryo, Output out, TrafficView traffic) {
            out.writeString(traffic.kind());
            out.writeLong(traffic.sent());
            out.writeLong(traffic.sentBytes());
            out.writeLong(traffic.received());
            out.writeLong(traffic.receivedBytes());
            out.writeLong(traffic.largest());
            out.writeLong(traffic.refused());
        }

        @Override
        public TrafficView read(Kryo kryo, Input in, Class<? extends TrafficView> type) {
            return new TrafficView(text(in), in.readLong(), in.readLong(), in.readLong(),
                    in.readLong(), in.readLong(), in.readLong());
        }
    }
}
