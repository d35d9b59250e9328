package castalia.workers.data.dedup;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;

/**
 * Sorts records of some longs, more than fit in memory: sorted runs go to files, which are merged.
 * Records are ordered by their first number, then the second, and so on; equal ones stay. Not for
 * several threads.
 */
final class RecordSorter implements AutoCloseable {
    /** Runs that are merged at once; each is an open file. */
    private static final int MOST_RUNS = 256;

    private static final int BUFFER_BYTES = 1 << 16;

    private final Path folder;
    private final String name;
    private final int width;
    private final int most;
    private final List<Path> runs = new ArrayList<>();
    private long[] records;
    private int filled;
    private long count;
    private int files;

    /**
     * @param folder where runs are written
     * @param width numbers of a record
     * @param memoryBytes what the records in memory may take
     */
    RecordSorter(Path folder, String name, int width, long memoryBytes) {
        this.folder = folder;
        this.name = name;
        this.width = width;
        this.most = Math.clamp(memoryBytes / (8L * width), 16, (1 << 28) / width) * width;
        this.records = new long[Math.min(most, 1024 * width)];
    }

    /** Adds a record of {@code width} numbers. */
    void add(long... record) throws IOException {
        if (filled == records.length) {
            if (filled < most) {
                records = Arrays.copyOf(records, (int) Math.min(most, 2L * filled));
            } else {
                spill();
            }
        }
        System.arraycopy(record, 0, records, filled, width);
        filled += width;
        count++;
    }

    /** Records added. */
    long count() {
        return count;
    }

    private void spill() throws IOException {
        RecordSort.sort(records, width, filled / width);
        if (runs.size() == MOST_RUNS) {
            List<Path> merged = List.copyOf(runs);
            Path whole = fresh();
            try (Records all = new Merged(merged, width); Output out = new Output(whole)) {
                long[] record = new long[width];
                while (all.next(record)) {
                    out.write(record, 0, width);
                }
            }
            for (Path run : merged) {
                Files.delete(run);
            }
            runs.clear();
            runs.add(whole);
        }
        Path run = fresh();
        try (Output out = new Output(run)) {
            out.write(records, 0, filled);
        }
        runs.add(run);
        filled = 0;
    }

    private Path fresh() {
        return folder.resolve(name + "-" + files++);
    }

    /** All records in order; nothing may be added afterwards. The caller closes them. */
    Records sorted() throws IOException {
        if (runs.isEmpty()) {
            RecordSort.sort(records, width, filled / width);
            return new InMemory(records, width, filled);
        }
        spill();
        records = new long[0];
        return new Merged(runs, width);
    }

    /** Removes the files. */
    @Override
    public void close() throws IOException {
        records = new long[0];
        for (Path run : runs) {
            Files.deleteIfExists(run);
        }
    }

    /** Records one after another. */
    interface Records extends AutoCloseable {
        /** Puts the next record in {@code target}; false at the end. */
        boolean next(long[] target) throws IOException;

        @Override
        void close() throws IOException;
    }

    private static final class InMemory implements Records {
        private final long[] records;
        private final int width;
        private final int end;
        private int at;

        InMemory(long[] records, int width, int end) {
            this.records = records;
            this.width = width;
            this.end = end;
        }

        @Override
        public boolean next(long[] target) {
            if (at == end) {
                return false;
            }
            System.arraycopy(records, at, target, 0, width);
            at += width;
            return true;
        }

        @Override
        public void close() {}
    }

    /** A sorted file and its next record. */
    private static final class Run {
        final FileChannel channel;
        final ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES).limit(0);
        final long[] record;

        Run(Path path, int width) throws IOException {
            channel = FileChannel.open(path, StandardOpenOption.READ);
            record = new long[width];
        }

        boolean next() throws IOException {
            for (int i = 0; i < record.length; i++) {
                if (buffer.remaining() < Long.BYTES && !fill()) {
                    return false;
                }
                record[i] = buffer.getLong();
            }
            return true;
        }

        private boolean fill() throws IOException {
            buffer.compact();
            while (buffer.position() < Long.BYTES) {
                if (channel.read(buffer) < 0) {
                    return false;
                }
            }
            buffer.flip();
            return true;
        }
    }

    private static final class Merged implements Records {
        private final List<Run> all = new ArrayList<>();
        private final PriorityQueue<Run> queue =
                new PriorityQueue<>(Comparator.comparing(run -> run.record, Arrays::compare));

        Merged(List<Path> runs, int width) throws IOException {
            try {
                for (Path path : runs) {
                    Run run = new Run(path, width);
                    all.add(run);
                    if (run.next()) {
                        queue.add(run);
                    }
                }
            } catch (IOException e) {
                close();
                throw e;
            }
        }

        @Override
        public boolean next(long[] target) throws IOException {
            Run first = queue.poll();
            if (first == null) {
                return false;
            }
            System.arraycopy(first.record, 0, target, 0, target.length);
            if (first.next()) {
                queue.add(first);
            }
            return true;
        }

        @Override
        public void close() throws IOException {
            for (Run run : all) {
                run.channel.close();
            }
        }
    }

    private static final class Output implements AutoCloseable {
        private final FileChannel channel;
        private final ByteBuffer buffer = ByteBuffer.allocate(1 << 20);

        Output(Path path) throws IOException {
            channel = FileChannel.open(path, StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        }

        void write(long[] numbers, int from, int to) throws IOException {
            for (int i = from; i < to; i++) {
                if (buffer.remaining() < Long.BYTES) {
                    drain();
                }
                buffer.putLong(numbers[i]);
            }
        }

        private void drain() throws IOException {
            buffer.flip();
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            buffer.clear();
        }

        @Override
        public void close() throws IOException {
            drain();
            channel.close();
        }
    }
}
