package castalia.actors.wire;

import akka.actor.ExtendedActorSystem;
import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorRefResolver;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.javadsl.Adapter;
import akka.serialization.SerializerWithStringManifest;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CandidateTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.InspectorTraffic;
import castalia.actors.message.JobTraffic;
import castalia.actors.message.Traffic;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.wire.ControlCodec;
import castalia.protocol.wire.MalformedMessageException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Every message between processes. The manifest names the kind; addresses of actors and short
 * fields stand before the control message, which {@link ControlCodec} reads and writes.
 */
public final class ControlSerializer extends SerializerWithStringManifest {

    /** Names this serializer on the wire; never changes. */
    public static final int IDENTIFIER = 7_301;

    /** Most bytes of a message: below the transport's frame of 256 KiB. */
    public static final int MOST_BYTES = 252 << 10;

    private static final String FROM_WORKER = "worker";
    private static final String OFFER = "offer";
    private static final String EXITED = "exited";
    private static final String STOP = "stop";
    private static final String WELCOME = "welcome";
    private static final String FROM_COORDINATOR = "coordinator";
    private static final String ACCEPTED = "accepted";
    private static final String REFUSED = "refused";
    private static final String RUN_OVER = "run-over";
    private static final String CANDIDATE_OVER = "candidate-over";
    private static final String INSPECT = "inspect";
    private static final String DESCRIBE = "describe";
    private static final String JOB = "job";

    private static final List<String> KINDS = List.of(FROM_WORKER, OFFER, EXITED, STOP, WELCOME,
            FROM_COORDINATOR, ACCEPTED, REFUSED, RUN_OVER, CANDIDATE_OVER, INSPECT, DESCRIBE,
            JOB);

    /** Counts what has a manifest that nobody here writes. */
    private static final String UNKNOWN = "unknown";

    private final ActorSystem<Void> system;

    /** Made by Akka, by its name in the configuration. */
    public ControlSerializer(ExtendedActorSystem system) {
        this.system = Adapter.toTyped(system);
    }

    @Override
    public int identifier() {
        return IDENTIFIER;
    }

    @Override
    public String manifest(Object message) {
        return switch (traffic(message)) {
            case CoordinatorTraffic.FromWorker m -> FROM_WORKER;
            case CoordinatorTraffic.Offer m -> OFFER;
            case CoordinatorTraffic.WorkerExited m -> EXITED;
            case CoordinatorTraffic.StopRun m -> STOP;
            case WorkerTraffic.Welcome m -> WELCOME;
            case WorkerTraffic.FromCoordinator m -> FROM_COORDINATOR;
            case AgentTraffic.Accepted m -> ACCEPTED;
            case AgentTraffic.Refused m -> REFUSED;
            case AgentTraffic.RunOver m -> RUN_OVER;
            case CandidateTraffic.RunOver m -> CANDIDATE_OVER;
            case InspectorTraffic.Inspect m -> INSPECT;
            case CoordinatorTraffic.Describe m -> DESCRIBE;
            case JobTraffic.Job m -> JOB;
        };
    }

    private static Traffic traffic(Object message) {
        if (message instanceof Traffic traffic) {
            return traffic;
        }
        throw new RefusedMessageException("no message between processes: " + message.getClass());
    }

    @Override
    public byte[] toBinary(Object message) {
        Traffic traffic = traffic(message);
        String kind = manifest(traffic);
        byte[] bytes;
        try {
            bytes = write(traffic);
        } catch (IllegalArgumentException e) {
            TrafficCounter.of(system).refused(kind);
            throw new RefusedMessageException(kind + ": " + e.getMessage());
        }
        if (bytes.length > MOST_BYTES) {
            TrafficCounter.of(system).refused(kind);
            throw new RefusedMessageException(kind + ": " + bytes.length + " bytes; at most "
                    + MOST_BYTES + " are allowed");
        }
        TrafficCounter.of(system).sent(kind, bytes.length);
        return bytes;
    }

    private byte[] write(Traffic traffic) {
        FieldWriter out = new FieldWriter();
        switch (traffic) {
            case CoordinatorTraffic.FromWorker m ->
                out.text(path(m.from())).rest(ControlCodec.encode(m.message()));
            case CoordinatorTraffic.Offer m ->
                out.text(m.node()).text(m.build()).number(m.workers()).text(path(m.from()));
            case CoordinatorTraffic.WorkerExited m ->
                out.number(m.worker().id()).text(m.how());
            case CoordinatorTraffic.StopRun m -> {}
            case WorkerTraffic.Welcome m -> out.number(m.term()).text(path(m.from()));
            case WorkerTraffic.FromCoordinator m -> out.rest(ControlCodec.encode(m.message()));
            case AgentTraffic.Accepted m -> out.number(m.term()).text(path(m.from()));
            case AgentTraffic.Refused m -> out.text(m.reason());
            case AgentTraffic.RunOver m -> out.number(m.term()).text(m.how());
            case CandidateTraffic.RunOver m -> ResultFields.write(out.number(m.term()), m.result());
            case InspectorTraffic.Inspect m -> out.text(path(m.replyTo()));
            case CoordinatorTraffic.Describe m -> out.text(path(m.replyTo()));
            case JobTraffic.Job m ->
                out.text(m.build()).rest(m.text().getBytes(StandardCharsets.UTF_8));
        }
        return out.bytes();
    }

    @Override
    public Object fromBinary(byte[] bytes, String manifest) {
        String kind = KINDS.contains(manifest) ? manifest : UNKNOWN;
        try {
            Traffic traffic = read(bytes, kind);
            TrafficCounter.of(system).received(kind, bytes.length);
            return traffic;
        } catch (MalformedMessageException | IllegalArgumentException e) {
            TrafficCounter.of(system).refused(kind);
            throw new RefusedMessageException(kind + ": " + e.getMessage());
        }
    }

    private Traffic read(byte[] bytes, String kind) throws MalformedMessageException {
        if (bytes.length > MOST_BYTES) {
            throw new IllegalArgumentException(bytes.length + " bytes");
        }
        FieldReader in = new FieldReader(bytes);
        Traffic traffic = switch (kind) {
            case FROM_WORKER -> {
                ActorRef<WorkerTraffic> from = ref(in.text());
                yield new CoordinatorTraffic.FromWorker(
                        ControlCodec.decodeWorker(in.rest()), from);
            }
            case OFFER -> new CoordinatorTraffic.Offer(
                    in.text(), in.text(), in.count(), ref(in.text()));
            case EXITED -> new CoordinatorTraffic.WorkerExited(
                    new Incarnation(in.number()), in.text());
            case STOP -> new CoordinatorTraffic.StopRun();
            case WELCOME -> new WorkerTraffic.Welcome(in.number(), ref(in.text()));
            case FROM_COORDINATOR -> new WorkerTraffic.FromCoordinator(
                    ControlCodec.decodeCoordinator(in.rest()));
            case ACCEPTED -> new AgentTraffic.Accepted(in.number(), ref(in.text()));
            case REFUSED -> new AgentTraffic.Refused(in.text());
            case RUN_OVER -> new AgentTraffic.RunOver(in.number(), in.text());
            case CANDIDATE_OVER ->
                new CandidateTraffic.RunOver(in.number(), ResultFields.read(in));
            case INSPECT -> new InspectorTraffic.Inspect(ref(in.text()));
            case DESCRIBE -> new CoordinatorTraffic.Describe(ref(in.text()));
            case JOB -> new JobTraffic.Job(
                    in.text(), new String(in.rest(), StandardCharsets.UTF_8));
            default -> throw new IllegalArgumentException("a kind of message nobody knows");
        };
        in.end();
        return traffic;
    }

    private String path(ActorRef<?> ref) {
        return ActorRefResolver.get(system).toSerializationFormat(ref);
    }

    private <T> ActorRef<T> ref(String path) {
        return ActorRefResolver.get(system).resolveActorRef(path);
    }
}
