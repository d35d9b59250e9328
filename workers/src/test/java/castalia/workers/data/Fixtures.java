package castalia.workers.data;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Objects;
import java.util.function.LongUnaryOperator;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The output of GPT-NeoX v1.0's own index code on four synthetic data sets. */
final class Fixtures {
    private static final JsonNode ROOT = read();

    private Fixtures() {}

    private static JsonNode read() {
        try {
            return new ObjectMapper().readTree(Files.readString(file("fixture-v1.0.json")));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static JsonNode root() {
        return ROOT;
    }

    static Path file(String name) {
        try {
            URL url = Fixtures.class.getResource("/data-order/" + name);
            return Path.of(Objects.requireNonNull(url, name).toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    static Path prefix(String name) {
        return file(name + ".idx").resolveSibling(name);
    }

    /** One index case of the fixture. */
    record Case(JsonNode json) {
        static Stream<Case> all() {
            return StreamSupport.stream(ROOT.get("cases").spliterator(), false).map(Case::new);
        }

        static Case named(String name) {
            return all().filter(c -> c.name().equals(name)).findFirst().orElseThrow();
        }

        String name() {
            return json.get("name").asText();
        }

        SampleOrder.Request request() {
            JsonNode documents = json.get("documents");
            boolean all = documents.isNull();
            long first = all ? 0 : documents.get(0).asLong();
            long end = all ? json.get("n_docs").asLong() : first + documents.size();
            return new SampleOrder.Request(first, end, json.get("seq_length").asInt(),
                    json.get("num_samples_requested").asLong(), json.get("seed").asLong());
        }

        String text(String key) {
            return json.get(key).asText();
        }

        int[] ints(String key) {
            return Fixtures.ints(json.get(key));
        }

        @Override
        public String toString() {
            return name();
        }
    }

    static int[] ints(JsonNode array) {
        int[] values = new int[array.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = array.get(i).asInt();
        }
        return values;
    }

    /** SHA-256 of {@code count} values, each in {@code bytes} bytes, little endian. */
    static String sha256(long count, int bytes, LongUnaryOperator value) {
        MessageDigest digest = Sha256.start();
        ByteBuffer one = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
        for (long i = 0; i < count; i++) {
            one.putLong(0, value.applyAsLong(i));
            digest.update(one.array(), 0, bytes);
        }
        return Sha256.hex(digest);
    }
}
