package castalia.actors;

import castalia.actors.tls.RunEngines;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Akka's configuration: castalia-akka.conf, and on top of it what differs between processes. */
public final class ActorConfiguration {

    /** Name of the actor system, equal in all processes of a cluster. */
    public static final String SYSTEM = "castalia";

    /** What the role that carries a node's name begins with. */
    static final String NAME_ROLE = "node-";

    private static final String RESOURCE = "castalia-akka.conf";
    private static final String RESOLVER = "akka.cluster.split-brain-resolver.";

    private ActorConfiguration() {}

    /** The configuration of a process, complete with Akka's own reference. */
    public static Config of(ProcessSettings settings) {
        return own(settings).withFallback(ConfigFactory.defaultReference()).resolve();
    }

    /** Our keys alone. */
    static Config own(ProcessSettings settings) {
        return ConfigFactory.parseMap(keys(settings)).withFallback(file());
    }

    static Config file() {
        return ConfigFactory.parseResources(
                ActorConfiguration.class.getClassLoader(), RESOURCE);
    }

    private static Map<String, Object> keys(ProcessSettings settings) {
        Map<String, Object> keys = new LinkedHashMap<>();
        List<String> roles = new ArrayList<>(List.of(settings.kind().role()));
        if (settings.node()) {
            roles.add(NAME_ROLE + settings.name());
        }
        keys.put("castalia.build", settings.build());
        keys.put("akka.cluster.roles", roles);
        keys.put("akka.remote.artery.canonical.hostname", settings.listen().host());
        keys.put("akka.remote.artery.canonical.port", settings.listen().port());
        keys.put("akka.remote.artery.bind.hostname", settings.listen().host());
        boolean fast = settings.patience() == ProcessSettings.Patience.FAST;
        if (!fast) {
            keys.put("akka.cluster.failure-detector.acceptable-heartbeat-pause", "10s");
        }
        // Machines that stall take seconds for the first; strangers have a bound besides.
        keys.put(RunEngines.DEADLINE, fast ? "5s" : "20s");
        String stable = fast ? "1s" : "7s";
        keys.put(RESOLVER + "stable-after", stable);
        keys.put(CandidateDowning.STABLE, stable);
        keys.putAll(downing(settings.eligible()));
        // A node ends when whoever started it says so, in its own order; a worker when it is told to.
        boolean worker = settings.kind() == ProcessSettings.Kind.WORKER;
        keys.put("akka.coordinated-shutdown.run-by-jvm-shutdown-hook", worker);
        keys.put("akka.jvm-shutdown-hooks", worker);
        return keys;
    }

    /**
     * Who goes on when the network is cut is decided by those that may coordinate: most of them,
     * where three or more are known; else whoever reaches one of them.
     */
    private static Map<String, Object> downing(int eligible) {
        if (eligible >= 3) {
            return Map.of(
                    RESOLVER + "active-strategy", "static-quorum",
                    RESOLVER + "static-quorum.quorum-size", eligible / 2 + 1,
                    RESOLVER + "static-quorum.role", ProcessSettings.Kind.CANDIDATE.role());
        }
        return Map.of("akka.cluster.downing-provider-class", CandidateDowning.class.getName());
    }
}
