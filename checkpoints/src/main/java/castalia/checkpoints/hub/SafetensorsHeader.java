package castalia.checkpoints.hub;

import castalia.checkpoints.DamagedFileException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** The JSON header of a safetensors file, and where each tensor's data lies behind it. */
record SafetensorsHeader(
        SequencedMap<String, Entry> tensors, SequencedMap<String, String> metadata) {

    /** The reference implementation's cap on the header. */
    static final int MAX_BYTES = 100_000_000;

    private static final String METADATA = "__metadata__";
    private static final int ALIGNMENT = 8;

    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(4)
                    .maxNameLength(4096)
                    .maxNumberLength(20)
                    .maxStringLength(1 << 20)
                    .maxDocumentLength(MAX_BYTES)
                    .build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    /** A tensor and the bytes {@code [begin, end)} of its data, counted behind the header. */
    record Entry(TensorInfo info, long begin, long end) {}

    SafetensorsHeader {
        tensors = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(tensors));
        metadata = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(metadata));
    }

    /**
     * Parses the header and checks that the tensors fill the data without gap or overlap.
     *
     * @param file named in complaints
     * @param json the header, at most {@link #MAX_BYTES}
     * @param dataBytes bytes of the file behind the header
     */
    static SafetensorsHeader parse(Path file, byte[] json, long dataBytes) throws IOException {
        Map<String, Entry> entries = new TreeMap<>();
        SequencedMap<String, String> metadata = new LinkedHashMap<>();
        try (JsonParser parser = JSON.createParser(json)) {
            expect(file, parser.nextToken(), JsonToken.START_OBJECT, "the header");
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                if (name.equals(METADATA)) {
                    readMetadata(file, parser, metadata);
                } else {
                    entries.put(name, readEntry(file, parser, name));
                }
            }
            if (parser.nextToken() != null) {
                throw new DamagedFileException(file, 8, "the header goes on after its object");
            }
        } catch (JsonProcessingException e) {
            throw new DamagedFileException(file, 8 + Math.max(0, e.getLocation() == null
                    ? 0 : e.getLocation().getByteOffset()),
                    "the header is not valid JSON: " + e.getOriginalMessage());
        }
        List<Entry> byOffset = new ArrayList<>(entries.values());
        byOffset.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
        SequencedMap<String, Entry> tensors = new LinkedHashMap<>();
        long at = 0;
        for (Entry entry : byOffset) {
            String name = entry.info().name();
            if (entry.begin() != at) {
                throw new DamagedFileException(file, 8, "tensor " + name + " starts at data byte "
                        + entry.begin() + (entry.begin() < at ? ", inside" : ", with a gap behind")
                        + " the tensor before it, which ends at " + at);
            }
            if (entry.end() - entry.begin() != entry.info().bytes()) {
                throw new DamagedFileException(file, 8, "tensor " + name + " of type "
                        + entry.info().type() + " and shape " + entry.info().shape() + " takes "
                        + entry.info().bytes() + " bytes, but its data_offsets span "
                        + (entry.end() - entry.begin()));
            }
            if (entry.end() > dataBytes) {
                throw new DamagedFileException(file, 8 + json.length + dataBytes,
                        "the file is truncated: tensor " + name + " ends at data byte "
                                + entry.end() + ", but there are " + dataBytes);
            }
            tensors.put(name, entry);
            at = entry.end();
        }
        if (at != dataBytes) {
            throw new DamagedFileException(file, 8 + json.length + at, (dataBytes - at)
                    + " bytes behind the last tensor belong to none");
        }
        return new SafetensorsHeader(tensors, metadata);
    }

    private static void readMetadata(
            Path file, JsonParser parser, SequencedMap<String, String> metadata)
            throws IOException {
        expect(file, parser.nextToken(), JsonToken.START_OBJECT, METADATA);
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = parser.currentName();
            expect(file, parser.nextToken(), JsonToken.VALUE_STRING, METADATA + " " + key);
            metadata.put(key, parser.getText());
        }
    }

    private static Entry readEntry(Path file, JsonParser parser, String name) throws IOException {
        expect(file, parser.nextToken(), JsonToken.START_OBJECT, "tensor " + name);
        String type = "";
        List<Long> shape = null;
        List<Long> offsets = null;
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = parser.currentName();
            parser.nextToken();
            switch (key) {
                case "dtype" -> {
                    expect(file, parser.currentToken(), JsonToken.VALUE_STRING, name + " dtype");
                    type = parser.getText();
                }
                case "shape" -> shape = readNumbers(file, parser, name + " shape");
                case "data_offsets" -> offsets = readNumbers(file, parser, name + " data_offsets");
                default -> throw new DamagedFileException(
                        file, 8, "tensor " + name + " has the unknown key " + key);
            }
        }
        if (shape == null || offsets == null || offsets.size() != 2) {
            throw new DamagedFileException(file, 8,
                    "tensor " + name + " needs dtype, shape and two data_offsets");
        }
        long begin = offsets.get(0);
        long end = offsets.get(1);
        if (begin > end) {
            throw new DamagedFileException(
                    file, 8, "tensor " + name + " has data_offsets " + offsets);
        }
        try {
            return new Entry(new TensorInfo(name, TensorType.valueOf(type), shape), begin, end);
        } catch (IllegalArgumentException e) {
            throw new DamagedFileException(file, 8, "tensor " + name + ": "
                    + (known(type) ? e.getMessage() : "unknown dtype '" + type + "'"));
        }
    }

    private static boolean known(String type) {
        for (TensorType candidate : TensorType.values()) {
            if (candidate.name().equals(type)) {
                return true;
            }
        }
        return false;
    }

    private static List<Long> readNumbers(Path file, JsonParser parser, String what)
            throws IOException {
        expect(file, parser.currentToken(), JsonToken.START_ARRAY, what);
        List<Long> numbers = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            expect(file, parser.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
            long number = parser.getLongValue();
            if (number < 0 || numbers.size() >= TensorInfo.MAX_DIMENSIONS) {
                throw new DamagedFileException(file, 8, what + " is out of range");
            }
            numbers.add(number);
        }
        return numbers;
    }

    private static void expect(
            Path file, @Nullable JsonToken found, JsonToken expected, String what)
            throws IOException {
        if (found != expected) {
            throw new DamagedFileException(
                    file, 8, "the header is damaged at " + what + ": " + found);
        }
    }

    /**
     * The header of tensors in the order they are to be written: the reference implementation's,
     * wide types first, then by name.
     */
    static SafetensorsHeader of(
            List<TensorInfo> tensors, SequencedMap<String, String> metadata) {
        List<TensorInfo> sorted = new ArrayList<>(tensors);
        sorted.sort(Comparator.comparing(TensorInfo::type).reversed()
                .thenComparing(TensorInfo::name));
        SequencedMap<String, Entry> entries = new LinkedHashMap<>();
        long at = 0;
        for (TensorInfo tensor : sorted) {
            long end = Math.addExact(at, tensor.bytes());
            if (tensor.name().equals(METADATA)
                    || entries.put(tensor.name(), new Entry(tensor, at, end)) != null) {
                throw new IllegalArgumentException("tensor name " + tensor.name());
            }
            at = end;
        }
        return new SafetensorsHeader(entries, metadata);
    }

    /** Bytes of all tensors. */
    long dataBytes() {
        return tensors.isEmpty() ? 0 : tensors.lastEntry().getValue().end();
    }

    /** The JSON, padded with spaces so that the data starts at a multiple of 8. */
    byte[] encode() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(METADATA);
                for (Map.Entry<String, String> entry : metadata.entrySet()) {
                    json.writeStringField(entry.getKey(), entry.getValue());
                }
                json.writeEndObject();
            }
            for (Entry entry : tensors.values()) {
                json.writeObjectFieldStart(entry.info().name());
                json.writeStringField("dtype", entry.info().type().name());
                json.writeArrayFieldStart("shape");
                for (long dimension : entry.info().shape()) {
                    json.writeNumber(dimension);
                }
                json.writeEndArray();
                json.writeArrayFieldStart("data_offsets");
                json.writeNumber(entry.begin());
                json.writeNumber(entry.end());
                json.writeEndArray();
                json.writeEndObject();
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        bytes.writeBytes(" ".repeat(Math.floorMod(-bytes.size(), ALIGNMENT))
                .getBytes(StandardCharsets.US_ASCII));
        return bytes.toByteArray();
    }
}
