package castalia.checkpoints;

import castalia.protocol.layout.LayoutWish;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The layouts that were asked for, one record each, in order; the newest counts. Whoever coordinates
 * the run reads it, so that a wish outlives the coordinator it was told to.
 */
public final class LayoutLog {

    private static final String PREFIX = "layout-";
    private static final int RECORD_BYTES = 4096;
    private static final int ATTEMPTS = 100;

    private final FileOperations files;
    private final Path folder;
    private final ExclusiveRecords records;

    LayoutLog(FileOperations files, Path folder) {
        this.files = files;
        this.folder = folder;
        this.records = new ExclusiveRecords(files, folder, RECORD_BYTES);
    }

    private long number() throws IOException {
        if (!Files.isDirectory(folder)) {
            return 0;
        }
        List<String> names = records.names().stream()
                .filter(name -> name.matches(PREFIX + "\\d{12}")).toList();
        return names.isEmpty() ? 0 : Long.parseLong(names.getLast().substring(PREFIX.length()));
    }

    /**
     * The newest wish, if there is one.
     *
     * @throws DamagedFileException if its record makes no sense
     */
    public Optional<LayoutWish> newest() throws IOException {
        long number = number();
        Optional<byte[]> record = number == 0 ? Optional.empty() : records.read(name(number));
        if (record.isEmpty()) {
            return Optional.empty();
        }
        try {
            return Optional.of(
                    LayoutWish.parse(new String(record.get(), StandardCharsets.UTF_8)));
        } catch (IllegalArgumentException e) {
            throw new DamagedFileException(folder.resolve(name(number)), 0, String.valueOf(e.getMessage()));
        }
    }

    /** Asks for a layout; nothing if it is what was asked for last. */
    public void ask(LayoutWish wish) throws IOException {
        files.createDirectory(folder);
        byte[] text = wish.text().getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < ATTEMPTS; i++) {
            if (newest().filter(wish::equals).isPresent()) {
                return;
            }
            switch (records.publish(name(number() + 1), text)) {
                case ExclusiveRecords.Outcome.Won() -> {
                    return;
                }
                case ExclusiveRecords.Outcome.Lost _ -> {
                    // Somebody else asked for something at the same time: again, after it.
                }
            }
        }
        throw new IOException("the layout could not be asked for: others ask all the time");
    }

    private static String name(long number) {
        return String.format("%s%012d", PREFIX, number);
    }
}
