package castalia.protocol.layout;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The layout a run should have, for whatever number of workers there is.
 *
 * @param dataParallel D, or 0 for as many replicas as there are workers for
 * @param tensorParallel t; fewer where there are fewer workers
 * @param zero ZeRO stage
 * @param buddies buddies of each chunk
 */
public record LayoutWish(int dataParallel, int tensorParallel, int zero, int buddies) {

    /** As many replicas as there are workers, ZeRO 1, one buddy. */
    public static final LayoutWish USUAL = new LayoutWish(0, 1, 1, 1);

    private static final Pattern TEXT = Pattern.compile("data-parallel (\\d{1,5})\\n"
            + "tensor-parallel (\\d{1,5})\\nzero (\\d)\\nbuddies (\\d)\\n");

    public LayoutWish {
        new ParallelLayout(Math.max(1, dataParallel), tensorParallel, zero, buddies);
        if (dataParallel < 0) {
            throw new IllegalArgumentException(
                    "data parallel degree " + dataParallel + " must be at least 1");
        }
    }

    /**
     * Checks it against what the specification fixes.
     *
     * @throws IllegalArgumentException as {@link ParallelLayout#require}
     */
    public void require(int virtualRanks, int tensorSlices) {
        new ParallelLayout(Math.max(1, dataParallel), tensorParallel, zero, buddies)
                .require(virtualRanks, tensorSlices);
    }

    /** Whether {@link #require} would accept it. */
    public boolean fits(int virtualRanks, int tensorSlices) {
        return dataParallel <= virtualRanks && tensorParallel <= tensorSlices;
    }

    /** One line per component, for people and {@link #parse}. */
    public String text() {
        return "data-parallel " + dataParallel + "\ntensor-parallel " + tensorParallel + "\nzero "
                + zero + "\nbuddies " + buddies + "\n";
    }

    /**
     * Reads what {@link #text} wrote.
     *
     * @throws IllegalArgumentException if it is anything else
     */
    public static LayoutWish parse(String text) {
        Matcher all = TEXT.matcher(text);
        if (!all.matches()) {
            throw new IllegalArgumentException("a layout has four lines: data-parallel,"
                    + " tensor-parallel, zero and buddies, each with a number");
        }
        return new LayoutWish(Integer.parseInt(all.group(1)), Integer.parseInt(all.group(2)),
                Integer.parseInt(all.group(3)), Integer.parseInt(all.group(4)));
    }

    /** Whether a layout is what was asked for, however many replicas where it names no number. */
    public boolean metBy(ParallelLayout layout) {
        return (dataParallel == 0 || dataParallel == layout.dataParallel())
                && tensorParallel == layout.tensorParallel() && zero == layout.zero()
                && buddies == layout.buddies();
    }

    /** As {@code 2x4 ZeRO 1}, or {@code Dx4 ZeRO 1} for as many replicas as there are workers for. */
    public String words() {
        String layout = new ParallelLayout(
                Math.max(1, dataParallel), tensorParallel, zero, buddies).toString();
        return dataParallel == 0 ? layout.replaceFirst("^1x", "Dx") : layout;
    }

    /** Workers it asks for; 0 if it takes what there is. */
    public int ranks() {
        return dataParallel * tensorParallel;
    }

    /**
     * The nearest layout that {@code workers} workers can have: whole replicas as many as possible,
     * of fewer ranks only where there are not enough for one.
     *
     * @param workers at least 1
     * @param virtualRanks V, the most replicas there can be
     */
    public ParallelLayout fit(int workers, int virtualRanks) {
        int t = Math.min(tensorParallel, Integer.highestOneBit(workers));
        int most = dataParallel == 0 ? virtualRanks : Math.min(dataParallel, virtualRanks);
        return new ParallelLayout(Math.clamp(workers / t, 1, most), t, zero, buddies);
    }
}
