package castalia.workers.model;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.KnownAnswers;
import castalia.kernels.MatmulShape;
import castalia.protocol.model.Gelu;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * What a device answers for every distinct product of a run over fixed operands. The numeric version
 * holds the answers of a few small products; library products may still differ between two machines
 * for a run's own shapes, so who trains together or goes on with a run compares these. One entry more
 * is attention's, whose blocks are products too; a GPU has one of products that its library joins with
 * GELU. In F16 another is of the kernels: the numeric
 * version, which all runs share, has none of it.
 *
 * @param byShape SHA-256 (hexadecimal) of an answer, by the shape in words; in the order of the
 *     plan
 */
public record ProductAnswers(Map<String, String> byShape) {

    private static final String DIGEST = "[0-9a-f]{64}";
    private static final int DIGEST_LETTERS = 64;
    private static final int HASH_LETTERS = 16;
    private static final String BETWEEN = "  ";
    private static final String F16_KERNELS = "the kernels in F16";

    public ProductAnswers {
        byShape = Collections.unmodifiableMap(new LinkedHashMap<>(byShape));
        byShape.forEach((shape, digest) -> {
            if (!digest.matches(DIGEST) || shape.isBlank() || shape.contains("\n")) {
                throw new IllegalArgumentException(
                        "'" + digest + "' is no answer of '" + shape + "'");
            }
        });
    }

    /**
     * Computes the answers, every product on every thread of the device.
     *
     * @throws IllegalStateException if two threads give different bits, naming the shape
     */
    public static ProductAnswers of(Device device, ModelPlan plan) {
        Map<String, String> byShape = new LinkedHashMap<>();
        for (MatmulShape shape : plan.products()) {
            byShape.put(shape.inWords(), KnownAnswers.of(device, shape));
        }
        int heads = plan.sliceHeads();
        int dimension = plan.shape().headDimension();
        byShape.put("attention of " + heads + " heads of " + dimension + " over " + plan.sequence()
                + " tokens, " + plan.compute(), KnownAnswers.ofAttention(
                device, plan.compute(), plan.sequence(), heads, dimension));
        if (!device.inHostMemory() && plan.shape().gelu() == Gelu.TANH) {
            byShape.put("GELU behind " + plan.up().inWords(),
                    KnownAnswers.ofGelu(device, plan.up(), plan.downInput()));
        }
        if (plan.compute() == DType.F16) {
            byShape.put(F16_KERNELS, KnownAnswers.ofKernels(device, DType.F16));
        }
        return new ProductAnswers(byShape);
    }

    /** The answers that {@link #text} wrote. */
    public static ProductAnswers parse(String text) {
        Map<String, String> byShape = new LinkedHashMap<>();
        text.lines().forEach(line -> {
            if (!line.matches(DIGEST + BETWEEN + ".+")) {
                throw new IllegalArgumentException("'" + line + "' is no line of known answers");
            }
            byShape.put(line.substring(DIGEST_LETTERS + BETWEEN.length()),
                    line.substring(0, DIGEST_LETTERS));
        });
        return new ProductAnswers(byShape);
    }

    /** One line for each product: its digest, two blanks, its shape. */
    public String text() {
        StringBuilder text = new StringBuilder();
        byShape.forEach((shape, digest) ->
                text.append(digest).append(BETWEEN).append(shape).append('\n'));
        return text.toString();
    }

    /** Sixteen hexadecimal digits, the same for equal answers in the same order. */
    public String hash() {
        byte[] digest = KnownAnswers.sha256().digest(text().getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(digest).substring(0, HASH_LETTERS);
    }

    /** The first shape of either whose answer the other does not share. */
    public Optional<String> difference(ProductAnswers other) {
        return byShape.keySet().stream()
                .filter(shape -> !Objects.equals(byShape.get(shape), other.byShape.get(shape)))
                .findFirst()
                .or(() -> other.byShape.keySet().stream()
                        .filter(shape -> !byShape.containsKey(shape))
                        .findFirst());
    }
}
