package castalia.deploy.fetch;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Brings the files of a repository at a revision into a folder: several at a time, each verified by
 * the hash that the hub lists, over as many tries as bring it further. What is there already and is
 * right is not asked for again; what was interrupted goes on.
 */
public final class Fetcher {
    /** A try that brings so much counts as success of the way, if not of the file. */
    private static final long FURTHER = 1 << 20;

    private static final String STOPPED = "stopped because another file failed";

    /** Some hundred thousand files; memory is about twice this. */
    private static final int LONGEST_LISTING = 32 << 20;

    /** Is told how far it is; called by several threads. */
    @FunctionalInterface
    public interface Progress {
        /** Bytes are those of all wanted files. */
        void show(int filesDone, int files, long bytesDone, long bytes);
    }

    /**
     * What there is now.
     *
     * @param commit the revision's
     * @param files wanted
     * @param bytes of all of them
     * @param fetched how many were not there before
     */
    public record Summary(String commit, int files, long bytes, int fetched) {}

    /** The work stopped because of a file or of the whole. */
    private static final class Stop {
        final CountDownLatch stopped = new CountDownLatch(1);

        /** Waits; false if everything was stopped meanwhile. */
        boolean pause(Duration duration) throws InterruptedException {
            return !stopped.await(duration.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    private final HubRepository repository;
    private final Path folder;
    private final FetchSettings settings;
    private final Progress progress;
    private final AtomicLong bytesDone = new AtomicLong();
    private final AtomicLong filesDone = new AtomicLong();
    private final Stop stop = new Stop();

    private Fetcher(
            HubRepository repository, Path folder, FetchSettings settings, Progress progress) {
        this.repository = repository;
        this.folder = folder;
        this.settings = settings;
        this.progress = progress;
    }

    /**
     * Brings the files.
     *
     * @param folder made if absent
     * @param wanted which of the listed paths
     * @throws CastaliaException if the hub cannot be reached or says no, a file stays wrong, another
     *     file is in the way, or the disk is full
     */
    public static Summary fetch(
            HubRepository repository,
            Path folder,
            Predicate<String> wanted,
            FetchSettings settings,
            Progress progress) {
        return new Fetcher(repository, folder, settings, progress).run(wanted);
    }

    private Summary run(Predicate<String> wanted) {
        try (HubClient client = new HubClient(settings)) {
            HubListing listing = tries(() -> HubListing.parse(
                    client.body(repository.listing(), LONGEST_LISTING)), () -> 0);
            List<HubFile> files = listing.files().stream()
                    .filter(file -> wanted.test(file.path()))
                    .toList();
            if (files.isEmpty()) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID, repository.name() + " at "
                        + repository.revision() + " has no such files among its "
                        + listing.files().size());
            }
            Files.createDirectories(folder);
            long bytes = files.stream().mapToLong(HubFile::bytes).sum();
            List<HubFile> absent = absent(files);
            requireSpace(absent);
            bytesDone.set(bytes - absent.stream().mapToLong(HubFile::bytes).sum());
            filesDone.set(files.size() - absent.size());
            all(client, listing.commit(), absent, files.size(), bytes);
            return new Summary(listing.commit(), files.size(), bytes, absent.size());
        } catch (FetchException e) {
            throw CastaliaException.of(ErrorCode.HUB_FAILED, e);
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                    folder + ": cannot be written (" + e + "); the same command goes on", e);
        }
    }

    /** What is not there; what is there and differs is not touched. */
    private List<HubFile> absent(List<HubFile> files) throws IOException {
        List<HubFile> absent = new ArrayList<>();
        for (HubFile file : files) {
            Path place = SafePaths.place(folder, file.path());
            if (!Files.exists(place)) {
                absent.add(file);
            } else if (!Files.isRegularFile(place) || !file.is(place)) {
                throw FetchException.lasting(place + " is there and is not the listed file; remove"
                        + " it or choose another folder");
            }
        }
        return absent;
    }

    private void requireSpace(List<HubFile> files) throws IOException {
        long free = Files.getFileStore(folder).getUsableSpace();
        long left = free;
        for (HubFile file : files) {
            Path partial = FileFetch.partial(SafePaths.place(folder, file.path()), file);
            long here = Files.exists(partial) ? Files.size(partial) : 0;
            left -= Math.max(0, file.bytes() - here);
            if (left < 0) { // at once: a sum of all might overflow
                throw new CastaliaException(ErrorCode.STORAGE_FAILED, String.format(Locale.ROOT,
                        "%s has %,d MB free, the files need more", folder, free / 1_000_000));
            }
        }
    }

    private void all(
            HubClient client, String commit, List<HubFile> files, int count, long bytes)
            throws IOException {
        ExecutorService pool = Executors.newFixedThreadPool(settings.parallel(), task -> {
            Thread thread = new Thread(task, "fetch");
            thread.setDaemon(true);
            return thread;
        });
        try {
            List<Future<?>> running = new ArrayList<>();
            for (HubFile file : files) {
                running.add(pool.submit(() -> {
                    one(client, commit, file, count, bytes);
                    return file;
                }));
            }
            IOException first = null;
            for (Future<?> one : running) {
                IOException failed = failure(one);
                if (failed != null && (first == null || stoppedOnly(first))) {
                    first = failed;
                }
            }
            if (first != null) {
                throw first;
            }
        } finally {
            stop.stopped.countDown();
            pool.shutdownNow();
        }
    }

    private static boolean stoppedOnly(IOException failure) {
        return failure instanceof FetchException one && one.getMessage() != null
                && one.getMessage().equals(STOPPED);
    }

    private @Nullable IOException failure(Future<?> one) {
        try {
            one.get();
            return null;
        } catch (ExecutionException e) {
            return switch (e.getCause()) {
                case IOException failed -> failed;
                case RuntimeException failed -> throw failed;
                case Error failed -> throw failed;
                case null, default -> throw new IllegalStateException(e);
            };
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return FetchException.lasting("stopped; the same command goes on");
        }
    }

    private void one(HubClient client, String commit, HubFile file, int count, long bytes)
            throws IOException {
        try {
            Path place = SafePaths.place(folder, file.path());
            FileFetch fetch = new FileFetch(client, repository.content(commit, file.path()), file,
                    place, gained -> progress.show((int) filesDone.get(), count,
                            bytesDone.addAndGet(gained), bytes));
            tries(() -> {
                fetch.attempt();
                return file;
            }, () -> Files.exists(place) ? file.bytes() : fetch.present());
            progress.show((int) filesDone.incrementAndGet(), count, bytesDone.get(), bytes);
        } catch (IOException | RuntimeException e) {
            stop.stopped.countDown(); // No other file is begun, no pause is waited out.
            throw e;
        }
    }

    @FunctionalInterface
    private interface Attempt<T> {
        T run() throws IOException;
    }

    @FunctionalInterface
    private interface Measure {
        long bytes() throws IOException;
    }

    /** Tries until it works, or nothing came several times in a row. */
    private <T> T tries(Attempt<T> attempt, Measure present) throws IOException {
        int failures = 0;
        long furthest = present.bytes(); // what is discarded and comes again is no progress
        while (true) {
            if (stop.stopped.getCount() == 0) {
                throw FetchException.lasting(STOPPED);
            }
            IOException failure;
            long asked = 0;
            try {
                return attempt.run();
            } catch (FetchException e) {
                if (!e.again()) {
                    throw e;
                }
                failure = e;
                asked = e.waitMillis();
            } catch (FileSystemException e) {
                throw e;
            } catch (IOException e) {
                // The connection broke; a full disk says so when the next try writes.
                failure = FetchException.passing("the connection broke (" + e.getMessage() + ")");
            }
            long now = present.bytes();
            failures++;
            if (now - furthest >= FURTHER) {
                furthest = now;
                failures = 1;
            }
            if (failures >= settings.tries()) {
                throw FetchException.lasting(failure.getMessage() + " (given up after "
                        + failures + " tries; the same command goes on)");
            }
            pause(settings.pause(failures, asked));
        }
    }

    private void pause(Duration duration) throws FetchException {
        try {
            if (!stop.pause(duration)) {
                throw FetchException.lasting(STOPPED);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw FetchException.lasting("stopped; the same command goes on");
        }
    }
}
