package castalia.checkpoints;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * File operations on a disk that loses what was not made durable: of each folder's entries any
 * suffix of the changes since it was last forced, of each file any part of the content since it was
 * last forced. After a chosen number of operations the power fails: from there on every operation
 * throws, and {@link #cut} does to the files what the failure would have done.
 */
final class CrashDisk implements FileOperations {

    static final String POWER = "the power failed";

    private final FileOperations files = FileOperations.real();
    private final Path backups;
    private final int failing;
    private int done;
    private int backup;
    private final Map<Path, Deque<Undo>> pending = new HashMap<>();
    private final List<Written> unforced = new ArrayList<>();

    private interface Undo {
        void run() throws IOException;
    }

    /** A file whose content is not durable, and how much of it is. */
    private static final class Written {
        private Path path;
        private boolean forced;

        Written(Path path) {
            this.path = path;
        }
    }

    /** A disk whose power fails at operation n, with a folder for its own use. */
    CrashDisk(int failing, Path backups) {
        this.failing = failing;
        this.backups = backups;
    }

    int operations() {
        return done;
    }

    private void step() throws IOException {
        if (done++ >= failing) {
            throw new IOException(POWER);
        }
    }

    private void changed(Path file, Undo undo) {
        pending.computeIfAbsent(file.toAbsolutePath().getParent(), _ -> new ArrayDeque<>())
                .push(undo);
    }

    private Path keep(Path file) throws IOException {
        Path kept = backups.resolve("kept-" + backup++);
        Files.createLink(kept, file);
        return kept;
    }

    @Override
    public Output create(Path file) throws IOException {
        step();
        Output output = files.create(file);
        Written written = new Written(file);
        unforced.add(written);
        changed(file, () -> Files.deleteIfExists(file));
        return new Output() {
            @Override
            public void write(ByteBuffer bytes) throws IOException {
                step();
                output.write(bytes);
                written.forced = false;
            }

            @Override
            public void force() throws IOException {
                step();
                written.forced = true;
            }

            @Override
            public void close() throws IOException {
                output.close();
            }
        };
    }

    @Override
    public void link(Path link, Path existing) throws IOException {
        step();
        files.link(link, existing);
        changed(link, () -> Files.deleteIfExists(link));
    }

    @Override
    public void move(Path from, Path to) throws IOException {
        step();
        Path old = Files.exists(to) ? keep(to) : null;
        files.move(from, to);
        unforced.stream().filter(w -> w.path.equals(from)).forEach(w -> w.path = to);
        changed(to, () -> {
            Files.move(to, from);
            if (old != null) {
                Files.createLink(to, old);
            }
        });
    }

    @Override
    public boolean delete(Path file) throws IOException {
        step();
        if (!Files.exists(file)) {
            return false;
        }
        Path kept = keep(file);
        unforced.stream().filter(w -> w.path.equals(file)).forEach(w -> w.path = kept);
        files.delete(file);
        changed(file, () -> Files.createLink(file, kept));
        return true;
    }

    @Override
    public void createDirectory(Path folder) throws IOException {
        step();
        if (!Files.exists(folder)) {
            files.createDirectory(folder);
            changed(folder, () -> Fixtures.delete(folder));
        }
    }

    @Override
    public void touch(Path file) throws IOException {
        step();
    }

    @Override
    public void forceDirectory(Path folder) throws IOException {
        step();
        pending.remove(folder.toAbsolutePath());
    }

    @Override
    public long usableBytes(Path folder) {
        return Long.MAX_VALUE;
    }

    /** Takes away a random part of what was not durable. */
    void cut(Random random) throws IOException {
        for (Written written : unforced) {
            if (!written.forced && Files.exists(written.path)) {
                damage(written.path, random);
            }
        }
        // Inner folders first: losing a folder's own entry then finds only what survived in it.
        List<Path> folders = new ArrayList<>(pending.keySet());
        folders.sort((a, b) -> b.getNameCount() - a.getNameCount());
        for (Path folder : folders) {
            Deque<Undo> changes = pending.getOrDefault(folder, new ArrayDeque<>());
            int lost = random.nextInt(changes.size() + 1);
            for (int i = 0; i < lost; i++) {
                changes.pop().run();
            }
        }
    }

    private static void damage(Path file, Random random) throws IOException {
        try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
            long size = content.length();
            switch (random.nextInt(3)) {
                case 0 -> content.setLength(random.nextLong(size + 1));
                case 1 -> {
                    if (size > 0) {
                        content.seek(random.nextLong(size));
                        byte[] zeros = new byte[(int) Math.min(
                                512, size - content.getFilePointer())];
                        content.write(zeros);
                    }
                }
                default -> { }
            }
        }
    }
}
