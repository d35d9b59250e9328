package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class NumpyRandomStateTest {
    static Stream<Map.Entry<String, JsonNode>> seeds() {
        return Fixtures.root().get("mt19937").properties().stream();
    }

    private static NumpyRandomState seeded(Map.Entry<String, JsonNode> vector) {
        return new NumpyRandomState(Long.parseLong(vector.getKey()));
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void theKeyIsNumpys(Map.Entry<String, JsonNode> vector) {
        int[] key = seeded(vector).key();
        for (int i = 0; i < 4; i++) {
            assertThat(Integer.toUnsignedLong(key[i]))
                    .isEqualTo(vector.getValue().get("key_first4").get(i).asLong());
        }
        assertThat(Integer.toUnsignedLong(key[623]))
                .isEqualTo(vector.getValue().get("key_last").asLong());
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void theFirstDrawsAreNumpys(Map.Entry<String, JsonNode> vector) {
        NumpyRandomState random = seeded(vector);
        for (JsonNode expected : vector.getValue().get("first10_u32")) {
            assertThat(random.nextU32()).isEqualTo(expected.asLong());
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void everyShuffleIsNumpys(Map.Entry<String, JsonNode> vector) {
        for (Map.Entry<String, JsonNode> shuffle
                : vector.getValue().get("shuffles").properties()) {
            int length = Integer.parseInt(shuffle.getKey());
            int[] values = IntStream.range(0, length).toArray();
            seeded(vector).shuffle(values);
            IndexArray offHeap = IndexArray.allocate(length, length, Arena.ofAuto());
            for (int i = 0; i < length; i++) {
                offHeap.set(i, i);
            }
            seeded(vector).shuffle(offHeap);
            JsonNode expected = shuffle.getValue();
            if (expected.isArray()) {
                assertThat(values).isEqualTo(Fixtures.ints(expected));
            } else {
                assertThat(Arrays.copyOf(values, 5))
                        .isEqualTo(Fixtures.ints(expected.get("first5")));
                assertThat(Fixtures.sha256(length, 4, i -> values[(int) i]))
                        .isEqualTo(expected.get("sha256_u32le").asText());
            }
            for (int i = 0; i < length; i++) {
                assertThat(offHeap.get(i)).isEqualTo(values[i]);
            }
        }
    }

    /** From numpy 2.4.6: {@code legacy_interval} as {@code RandomState.randint} draws it. */
    @Test
    void intervalsBeyond32BitsTakeTheHighWordFirst() {
        NumpyRandomState words = new NumpyRandomState(1234);
        long high = words.nextU32();
        long low = words.nextU32();
        assertThat(new NumpyRandomState(1234).interval(Long.MAX_VALUE))
                .isEqualTo((high << 32 | low) & Long.MAX_VALUE);
    }

    @Test
    void entriesOfEightBytesAreShuffledAlike() {
        IndexArray narrow = IndexArray.allocate(70_001, 70_001, Arena.ofAuto());
        IndexArray wide = IndexArray.allocate(70_001, 1L << 33, Arena.ofAuto());
        narrow.count();
        wide.count();
        NumpyRandomState one = new NumpyRandomState(5);
        NumpyRandomState other = new NumpyRandomState(5);
        one.shuffle(narrow);
        other.shuffle(wide);
        for (int i = 0; i < 70_001; i++) {
            assertThat(wide.get(i)).isEqualTo(narrow.get(i));
        }
        assertThat(one.nextU32()).isEqualTo(other.nextU32());
    }

    @Test
    void anIntervalOfZeroDrawsNothing() {
        NumpyRandomState random = new NumpyRandomState(7);
        assertThat(random.interval(0)).isZero();
        assertThat(random.nextU32()).isEqualTo(new NumpyRandomState(7).nextU32());
    }

    @Test
    void anIntervalNeverExceedsItsMaximum() {
        NumpyRandomState random = new NumpyRandomState(99);
        for (long max : new long[] {1, 2, 3, 7, 8, 1000, 0xfffffffeL, 0xffffffffL, 1L << 40}) {
            for (int i = 0; i < 200; i++) {
                assertThat(random.interval(max)).isBetween(0L, max);
            }
        }
    }

    @Test
    void aSeedBeyond32BitsIsRefused() {
        assertThatThrownBy(() -> new NumpyRandomState(1L << 32))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4294967296");
    }
}
