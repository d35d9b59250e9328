package castalia.workers.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How far a preparation is. Written only after the tokens it counts are on disk.
 *
 * @param complete whether all inputs are used up
 * @param part index of the part that was read last
 * @param partDocuments documents of that part that are done
 * @param partSha256 hash over the bytes of these
 * @param documents documents written
 * @param textBytes bytes of text that was worked on
 * @param sequences sequences written
 * @param tokens tokens written
 */
public record PrepareJournal(
        boolean complete,
        int part,
        long partDocuments,
        String partSha256,
        long documents,
        long textBytes,
        long sequences,
        long tokens) {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    /** Nothing is done yet. */
    public static final PrepareJournal START =
            new PrepareJournal(false, 0, 0, Sha256.hex(Sha256.start()), 0, 0, 0, 0);

    public PrepareJournal {
        if (part < 0 || partDocuments < 0 || documents < 0 || textBytes < 0
                || sequences < 0 || tokens < sequences || partSha256 == null
                || sequences > Integer.MAX_VALUE || tokens > Long.MAX_VALUE / Long.BYTES) {
            throw new IllegalArgumentException("a count is below zero or does not fit the others");
        }
    }

    String toJson() {
        try {
            return MAPPER.writeValueAsString(this) + "\n";
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a record of numbers is JSON", e);
        }
    }

    /**
     * Null for the text {@code null}.
     *
     * @throws JsonProcessingException if the text is no journal
     */
    static @Nullable PrepareJournal of(String json) throws JsonProcessingException {
        return MAPPER.readValue(json, PrepareJournal.class);
    }

    /** What a preparation depends on: one setting a line, one part of the inputs a line. */
    public record Key(List<String> settings, List<String> parts) {
        private static final String END_OF_SETTINGS = "--";

        public Key {
            settings = List.copyOf(settings);
            parts = List.copyOf(parts);
        }

        List<String> lines() {
            List<String> lines = new ArrayList<>(settings);
            lines.add(END_OF_SETTINGS);
            lines.addAll(parts);
            return lines;
        }

        static Key ofLines(List<String> lines) {
            int end = lines.indexOf(END_OF_SETTINGS);
            return end < 0
                    ? new Key(List.of(), lines)
                    : new Key(lines.subList(0, end), lines.subList(end + 1, lines.size()));
        }
    }
}
