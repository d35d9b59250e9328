package castalia.checkpoints;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The terms of a run: one record per coordinator that ever claimed it, in order. A record is
 * exclusive, so of several that claim a term one wins. No clock and no lease is involved.
 */
public final class TermLog {

    private static final String PREFIX = "term-";
    private static final int RECORD_BYTES = 4096;

    private final ExclusiveRecords records;

    TermLog(FileOperations files, Path folder) {
        this.records = new ExclusiveRecords(files, folder, RECORD_BYTES);
    }

    /** The newest term claimed, 0 for none. */
    public long newest() throws IOException {
        List<String> names = records.names().stream()
                .filter(name -> name.matches(PREFIX + "\\d{12}")).toList();
        return names.isEmpty() ? 0 : Long.parseLong(names.getLast().substring(PREFIX.length()));
    }

    /**
     * Claims the term after the newest.
     *
     * @param claimant text that names the claimant and no other process ever
     * @return the term, or empty if another claimed it at the same time
     */
    public Optional<Long> claim(String claimant) throws IOException {
        long term = newest() + 1;
        byte[] record = claimant.getBytes(StandardCharsets.UTF_8);
        return switch (records.publish(name(term), record)) {
            case ExclusiveRecords.Outcome.Won() -> Optional.of(term);
            case ExclusiveRecords.Outcome.Lost _ -> Optional.empty();
        };
    }

    /** Who claimed a term. */
    public Optional<String> claimant(long term) throws IOException {
        return records.read(name(term)).map(bytes -> new String(bytes, StandardCharsets.UTF_8));
    }

    private static String name(long term) {
        return String.format("%s%012d", PREFIX, term);
    }
}
