package castalia.actors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ActorConfigurationTest {

    /** Maps whose keys are ours to choose. */
    private static final List<String> OPEN = List.of(
            "castalia.", "akka.actor.serializers.", "akka.actor.serialization-bindings.");

    private static final String PHASES = "akka.coordinated-shutdown.phases.";

    private static List<String> unknownKeys(Config own) {
        Config reference = ConfigFactory.defaultReference();
        List<String> unknown = new ArrayList<>();
        for (Map.Entry<String, ?> entry : own.entrySet()) {
            String key = entry.getKey();
            if (key.startsWith(PHASES) && key.endsWith(".timeout")) {
                key = key.substring(0, key.lastIndexOf('.')); // every phase has one, by default
            }
            if (OPEN.stream().noneMatch(key::startsWith) && !reference.hasPathOrNull(key)) {
                unknown.add(key);
            }
        }
        return unknown;
    }

    private static ProcessSettings settings(int eligible, ProcessSettings.Patience patience) {
        return new ProcessSettings("n1", ProcessSettings.Kind.CANDIDATE,
                new NodeAddress("127.0.0.1", 0), List.of(), eligible, "b", patience,
                Credentials::ours);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5})
    void everyKeyIsOneThatAkkaKnows(int eligible) {
        for (ProcessSettings.Patience patience : ProcessSettings.Patience.values()) {
            Config own = ActorConfiguration.own(settings(eligible, patience));
            assertThat(own.entrySet()).hasSizeGreaterThan(50);
            assertThat(unknownKeys(own)).isEmpty();
        }
    }

    @Test
    void aKeyThatAkkaDoesNotKnowIsFound() {
        Config wrong = ConfigFactory.parseString("akka.cluster.gosip-interval = 1s");
        assertThat(unknownKeys(wrong)).containsExactly("akka.cluster.gosip-interval");
    }

    @Test
    void whoGoesOnIsDecidedByThoseThatMayCoordinate() {
        String resolver = "akka.cluster.split-brain-resolver.";
        String provider = "akka.cluster.downing-provider-class";
        Config two = ActorConfiguration.of(settings(2, ProcessSettings.Patience.FAST));
        assertThat(two.getString(provider)).isEqualTo(CandidateDowning.class.getName());
        assertThat(two.getDuration(CandidateDowning.STABLE)).hasSeconds(1);
        Config five = ActorConfiguration.of(settings(5, ProcessSettings.Patience.FAST));
        assertThat(five.getString(provider)).contains("SplitBrainResolver");
        assertThat(five.getString(resolver + "active-strategy")).isEqualTo("static-quorum");
        assertThat(five.getInt(resolver + "static-quorum.quorum-size")).isEqualTo(3);
        assertThat(five.getString(resolver + "static-quorum.role"))
                .isEqualTo("coordinator-eligible");
    }

    @Test
    void nothingListensBeyondItsAddressAndJavaSerializationIsOff() {
        Config config = ActorConfiguration.of(settings(1, ProcessSettings.Patience.STEADY));
        assertThat(config.getString("akka.remote.artery.canonical.hostname"))
                .isEqualTo("127.0.0.1");
        assertThat(config.getString("akka.remote.artery.bind.hostname")).isEqualTo("127.0.0.1");
        assertThat(config.getBoolean("akka.actor.allow-java-serialization")).isFalse();
        assertThat(config.getBytes("akka.remote.artery.advanced.maximum-frame-size"))
                .isEqualTo(256 << 10);
        assertThat(config.getBoolean("akka.cluster.jmx.enabled")).isFalse();
        assertThat(config.getString("akka.cluster.failure-detector.acceptable-heartbeat-pause"))
                .isEqualTo("10s");
    }

    @Test
    void namesAndAddressesAreChecked() {
        assertThat(NodeAddress.parse("10.0.0.1:25520")).hasToString("10.0.0.1:25520");
        for (String wrong : List.of("host", "host:", ":1", "host:70000", "::1:5")) {
            assertThatThrownBy(() -> NodeAddress.parse(wrong))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        assertThatThrownBy(() -> Tests.settings("a b", ProcessSettings.Kind.AGENT, List.of()))
                .hasMessageContaining("'a b'");
    }
}
