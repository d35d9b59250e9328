package castalia.protocol.layout;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Parts of a layout that somebody names; the others stay as they are.
 *
 * @param dataParallel D, 0 for as many replicas as there are workers for
 * @param tensorParallel t
 * @param zero ZeRO stage
 * @param buddies buddies of each chunk
 */
public record LayoutRequest(
        OptionalInt dataParallel, OptionalInt tensorParallel, OptionalInt zero, OptionalInt buddies) {

    /** Names nothing. */
    public static final LayoutRequest NOTHING = new LayoutRequest(
            OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty());

    /** Names of the parts, in order. */
    public static final String DATA_PARALLEL = "data-parallel";
    public static final String TENSOR_PARALLEL = "tensor-parallel";
    public static final String ZERO = "zero";
    public static final String BUDDIES = "buddies";

    private static final int STAGES = 4;

    /** Whether it names nothing. */
    public boolean isEmpty() {
        return equals(NOTHING);
    }

    /**
     * What of it no layout of a run can have, by part, each in words that say what would fit.
     *
     * @param virtualRanks V
     * @param tensorSlices T, a power of two
     */
    public Map<String, String> problems(int virtualRanks, int tensorSlices) {
        Map<String, String> problems = new LinkedHashMap<>();
        dataParallel.ifPresent(d -> {
            if (d < 0 || d > virtualRanks) {
                problems.put(DATA_PARALLEL, "data parallel degree " + d + " must lie between 1 and"
                        + " the run's " + virtualRanks + " virtual ranks");
            }
        });
        tensorParallel.ifPresent(t -> {
            if (t < 1 || t > tensorSlices || tensorSlices % t != 0) {
                problems.put(TENSOR_PARALLEL, "tensor parallel degree " + t
                        + " does not divide the run's tensor slices, which are " + tensorSlices
                        + ": use " + divisors(tensorSlices));
            }
        });
        zero.ifPresent(stage -> {
            if (stage < 0 || stage >= STAGES) {
                problems.put(ZERO, "ZeRO stage " + stage + " is none of 0, 1, 2, 3");
            }
        });
        buddies.ifPresent(count -> {
            if (count < 0 || count > ParallelLayout.MOST_BUDDIES) {
                problems.put(BUDDIES, count + " buddies: choose 0, 1 or 2");
            }
        });
        return problems;
    }

    private static String divisors(int slices) {
        return IntStream.iterate(1, t -> t <= slices, t -> 2 * t).mapToObj(Integer::toString)
                .collect(Collectors.joining(", ")).replaceAll(", (\\d+)$", " or $1");
    }

    /**
     * What it makes of a wish. With another tensor parallel degree and no data parallel degree named,
     * there are as many replicas as workers allow.
     *
     * @throws IllegalArgumentException if no layout of the run can be like that, saying what would fit
     */
    public LayoutWish over(LayoutWish before, int virtualRanks, int tensorSlices) {
        Map<String, String> problems = problems(virtualRanks, tensorSlices);
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException(String.join("; ", problems.values()));
        }
        int t = tensorParallel.orElse(before.tensorParallel());
        int d = dataParallel.orElse(t == before.tensorParallel() ? before.dataParallel() : 0);
        LayoutWish wish = new LayoutWish(
                d, t, zero.orElse(before.zero()), buddies.orElse(before.buddies()));
        wish.require(virtualRanks, tensorSlices);
        return wish;
    }
}
