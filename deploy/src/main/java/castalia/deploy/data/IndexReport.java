package castalia.deploy.data;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.SequenceSizes;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongUnaryOperator;

/**
 * A sample order in GPT-NeoX's form: its three arrays, and the SHA-256 of each as int32 (documents)
 * or int64 (samples, shuffle), little endian.
 */
public final class IndexReport {
    private static final int PIECE = 1 << 16;
    private static final long UNSIGNED_INT_MAX = 0xffffffffL;

    private final SequenceSizes sizes;
    private final SampleOrder order;
    private final boolean allDocuments;
    private final Map<String, Object> facts = new LinkedHashMap<>();

    /**
     * Computes the hashes.
     *
     * @param name of the data set
     * @param sizes what the order was built over
     * @param allDocuments whether no range of documents was asked for
     */
    public IndexReport(
            String name, SequenceSizes sizes, SampleOrder order, boolean allDocuments) {
        this.sizes = sizes;
        this.order = order;
        this.allDocuments = allDocuments;
        SampleOrder.Request request = order.request();
        facts.put("name", name);
        facts.put("seq_length", request.sequenceLength());
        facts.put("num_samples_requested", request.samples());
        facts.put("seed", request.seed());
        facts.put("n_docs", sizes.sequences());
        facts.put("tokens_per_epoch", order.tokensPerEpoch());
        facts.put("num_epochs", order.epochs());
        facts.put("doc_idx_len", order.documentPositions());
        facts.put("n_samples", order.samples());
        facts.put("dataset_len", order.length());
        facts.put("sha256_doc_idx_int32le",
                sha256(order.documentPositions(), 4, order::documentAt));
        facts.put("sha256_sample_idx_int64le", sha256(2 * order.samples() + 2, 8, this::start));
        facts.put("sha256_shuffle_idx_int64le", sha256(order.samples(), 8, order::shuffled));
    }

    private long start(long entry) {
        return entry % 2 == 0 ? order.samplePosition(entry / 2) : order.sampleOffset(entry / 2);
    }

    /** Everything but the arrays, by the names of the JSON file. */
    public Map<String, Object> facts() {
        return new LinkedHashMap<>(facts);
    }

    private static String sha256(long count, int bytes, LongUnaryOperator value) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
        ByteBuffer piece = ByteBuffer.allocate(PIECE).order(ByteOrder.LITTLE_ENDIAN);
        for (long i = 0; i < count; i++) {
            if (!piece.hasRemaining()) {
                digest.update(piece.flip());
                piece.clear();
            }
            if (bytes == 4) {
                piece.putInt((int) value.applyAsLong(i));
            } else {
                piece.putLong(value.applyAsLong(i));
            }
        }
        digest.update(piece.flip());
        return HexFormat.of().formatHex(digest.digest());
    }

    /**
     * Writes the three arrays as GPT-NeoX keeps them, in its types and by its names, so that it
     * finds them beside its data.
     *
     * @param use what GPT-NeoX calls the data set, for example train_0
     * @return the files
     */
    public List<Path> writeNumpy(Path folder, String use) {
        SampleOrder.Request request = order.request();
        String start = facts.get("name") + "_" + use + "_indexmap_" + request.samples() + "ns_"
                + request.sequenceLength() + "sl_" + request.seed() + "s_";
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot make " + folder + ": " + e, e);
        }
        Path documents = folder.resolve(start + "doc_idx.npy");
        Path samples = folder.resolve(start + "sample_idx.npy");
        Path shuffle = folder.resolve(start + "shuffle_idx.npy");
        long positions = order.documentPositions();
        long count = order.samples();
        boolean widePairs = positions > Integer.MAX_VALUE;
        boolean wideShuffle = count >= UNSIGNED_INT_MAX - 1;
        Npy.write(documents, "<i4", "(" + positions + ",)", false, positions, order::documentAt);
        Npy.write(samples, widePairs ? "<i8" : "<i4", "(" + (count + 1) + ", 2)", widePairs,
                2 * count + 2, this::start);
        Npy.write(shuffle, wideShuffle ? "<i8" : "<u4", "(" + count + ",)", wideShuffle, count,
                order::shuffled);
        return List.of(documents, samples, shuffle);
    }

    /** Writes facts, sizes and the three arrays as one JSON object, in place of what is there. */
    public void write(Path file) {
        Path partial = file.resolveSibling(
                file.getFileName() + ".partial-" + ProcessHandle.current().pid());
        try {
            try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(partial), PIECE);
                    JsonGenerator json = new JsonFactory().createGenerator(out)) {
                write(json);
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + e, e);
        } finally {
            remove(partial);
        }
    }

    private static void remove(Path partial) {
        try {
            Files.deleteIfExists(partial);
        } catch (IOException _) {
            // The failure that left it there is reported already.
        }
    }

    private void write(JsonGenerator json) throws IOException {
        SampleOrder.Request request = order.request();
        json.writeStartObject();
        for (Map.Entry<String, Object> fact : facts.entrySet()) {
            json.writeObjectField(fact.getKey(), fact.getValue());
        }
        if (allDocuments) {
            json.writeNullField("documents");
        } else {
            array(json, "documents", request.endDocument() - request.firstDocument(),
                    i -> request.firstDocument() + i);
        }
        array(json, "sizes", sizes.sequences(), sizes::size);
        array(json, "doc_idx", order.documentPositions(), order::documentAt);
        json.writeArrayFieldStart("sample_idx");
        for (long i = 0; i <= order.samples(); i++) {
            json.writeStartArray();
            json.writeNumber(order.samplePosition(i));
            json.writeNumber(order.sampleOffset(i));
            json.writeEndArray();
        }
        json.writeEndArray();
        array(json, "shuffle_idx", order.samples(), order::shuffled);
        json.writeEndObject();
    }

    private static void array(JsonGenerator json, String name, long count, LongUnaryOperator value)
            throws IOException {
        json.writeArrayFieldStart(name);
        for (long i = 0; i < count; i++) {
            json.writeNumber(value.applyAsLong(i));
        }
        json.writeEndArray();
    }
}
