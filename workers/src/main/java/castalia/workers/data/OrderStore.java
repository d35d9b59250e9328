package castalia.workers.data;

import castalia.workers.data.SampleOrder.Request;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Gives the order of a data set: small ones are built in memory, large ones once into a file that
 * is named by what determines them. A file that is wrong or damaged is built anew; of several
 * processes that want the same one builds while the others wait.
 */
public final class OrderStore {
    /** Orders below this many bytes are built in memory: that takes less than a second. */
    public static final long SMALL_BYTES = 16L << 20;

    private static final Duration PATIENCE = Duration.ofHours(2);
    private static final Map<Path, ReentrantLock> OURS = new ConcurrentHashMap<>();
    private static final int NAME_DIGITS = 24;

    private final List<Path> folders;
    private final long smallBytes;
    private final DataProgress progress;
    private final Consumer<String> notes;

    /**
     * @param folders where files may lie, made if absent; the first that can be written is used
     * @param progress told while an order is built
     * @param notes takes a line where a file could not be used or kept
     */
    public OrderStore(List<Path> folders, DataProgress progress, Consumer<String> notes) {
        this(folders, SMALL_BYTES, progress, notes);
    }

    OrderStore(List<Path> folders, long smallBytes, DataProgress progress,
            Consumer<String> notes) {
        this.folders = List.copyOf(folders);
        this.smallBytes = smallBytes;
        this.progress = progress;
        this.notes = notes;
    }

    /** Keeps every order in one folder, however small. */
    public static OrderStore alwaysIn(
            Path folder, DataProgress progress, Consumer<String> notes) {
        return new OrderStore(List.of(folder), 0, progress, notes);
    }

    /** The folder beside a token file for what can be computed anew: its orders and hashes. */
    public static Path beside(Path prefix) {
        return prefix.resolveSibling(
                Objects.requireNonNull(prefix.getFileName()) + ".cache");
    }

    /**
     * The order that was asked for.
     *
     * @throws DataException as {@link SampleOrder#build}
     */
    public SampleOrder order(SequenceSizes sizes, Request request) {
        OrderPlan plan = OrderPlan.of(sizes, request);
        if (plan.bytes(request) < smallBytes || folders.isEmpty()) {
            return SampleOrder.build(sizes, request);
        }
        byte[] key = OrderFile.key(sizes, request);
        for (Path folder : folders) {
            Path path = folder.resolve(name(key));
            OrderFile file = new OrderFile(path, request, plan, key);
            try {
                Optional<SampleOrder> kept = file.read();
                if (kept.isPresent()) {
                    return kept.get();
                }
                Files.createDirectories(folder);
                return built(file, path, sizes);
            } catch (IOException e) {
                notes.accept(path + ": the sample order cannot be kept there (" + e + ")");
            }
        }
        return SampleOrder.build(sizes, request);
    }

    /**
     * Builds the order into its file in the first folder, whether it is there or not, and does not
     * open it.
     */
    public void build(SequenceSizes sizes, Request request) {
        Path folder = folders.getFirst();
        byte[] key = OrderFile.key(sizes, request);
        try {
            Files.createDirectories(folder);
            new OrderFile(folder.resolve(name(key)), request, OrderPlan.of(sizes, request), key)
                    .write(sizes, progress);
        } catch (IOException e) {
            throw new DataException(folder + ": the sample order cannot be written (" + e
                    + "); check the folder's rights and the free space", e);
        }
    }

    private static String name(byte[] key) {
        return HexFormat.of().formatHex(key).substring(0, NAME_DIGITS) + ".order";
    }

    private SampleOrder built(OrderFile file, Path path, SequenceSizes sizes) throws IOException {
        Path name = path.toAbsolutePath().normalize();
        ReentrantLock ours = OURS.computeIfAbsent(name, _ -> new ReentrantLock());
        boolean first = ours.tryLock() || waited(ours);
        try (FileChannel channel = FileChannel.open(
                path.resolveSibling(path.getFileName() + ".lock"),
                StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            FileLock lock = first ? locked(channel) : null;
            try {
                Optional<SampleOrder> kept = file.read(); // another was first
                if (kept.isPresent()) {
                    return kept.get();
                }
                if (lock != null) {
                    OrderFile.removePartial(path);
                }
                if (Files.exists(path)) {
                    notes.accept(path + ": damaged, built anew");
                }
                file.write(sizes, progress);
            } finally {
                if (lock != null && lock.isValid()) {
                    lock.release();
                }
            }
        } finally {
            if (first) {
                ours.unlock();
            }
        }
        return file.read().orElseThrow(
                () -> new IOException("the file does not hold what was written to it"));
    }

    /** Waits for a thread of this process; false after two hours. */
    private static boolean waited(ReentrantLock lock) {
        try {
            return lock.tryLock(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DataException("the wait for a sample order was interrupted", e);
        }
    }

    /** The lock of all processes; null where the storage knows none, and after two hours. */
    private @Nullable FileLock locked(FileChannel channel) {
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return lock;
            }
        } catch (IOException | UnsupportedOperationException _) {
            return null;
        }
        notes.accept("another process builds this sample order; waiting for it");
        FutureTask<FileLock> wait = new FutureTask<>(channel::lock);
        Thread.ofPlatform().daemon().name("order-lock").start(wait);
        try {
            return wait.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException _) {
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DataException("the wait for a sample order was interrupted", e);
        } finally {
            wait.cancel(true);
        }
    }
}
