package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.workers.data.SampleOrder.Request;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class OrderStoreTest {
    private static final Request REQUEST = new Request(0, 501, 7, 9_000, 77);

    @TempDir Path folder;
    private final AtomicInteger progressed = new AtomicInteger();
    private final List<String> notes = Collections.synchronizedList(new ArrayList<>());

    static Stream<Fixtures.Case> cases() {
        return Fixtures.Case.all();
    }

    private static SequenceSizes sizes(int seed) {
        Random random = new Random(seed);
        return SequenceSizes.of(random.ints(501, 0, 30).toArray());
    }

    /** Keeps every order in a file, however small; counts the calls that tell of building. */
    private OrderStore store(Path... folders) {
        return new OrderStore(List.of(folders), 0, (done, total) -> {
            assertThat(done).isBetween(0L, total);
            progressed.incrementAndGet();
        }, notes::add);
    }

    private static void same(SampleOrder a, SampleOrder b) {
        assertThat(a.samples()).isEqualTo(b.samples());
        assertThat(a.epochs()).isEqualTo(b.epochs());
        assertThat(a.documentPositions()).isEqualTo(b.documentPositions());
        assertThat(LongStream.range(0, a.documentPositions()).map(a::documentAt).toArray())
                .isEqualTo(LongStream.range(0, b.documentPositions()).map(b::documentAt).toArray());
        for (long i = 0; i <= a.samples(); i++) {
            assertThat(a.samplePosition(i)).isEqualTo(b.samplePosition(i));
            assertThat(a.sampleOffset(i)).isEqualTo(b.sampleOffset(i));
        }
        assertThat(LongStream.range(0, a.samples()).map(a::shuffled).toArray())
                .isEqualTo(LongStream.range(0, b.samples()).map(b::shuffled).toArray());
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.filter(file -> !file.toString().endsWith(".lock")).sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aKeptOrderIsThatOfTheFixture(Fixtures.Case c) {
        SequenceSizes sizes = SequenceSizes.of(c.ints("sizes"));
        for (int time = 0; time < 2; time++) {
            SampleOrder order = store(folder).order(sizes, c.request());
            assertThat(Fixtures.sha256(order.documentPositions(), 4, order::documentAt))
                    .isEqualTo(c.text("sha256_doc_idx_int32le"));
            assertThat(Fixtures.sha256(2 * order.samples() + 2, 8, i -> i % 2 == 0
                            ? order.samplePosition(i / 2)
                            : order.sampleOffset(i / 2)))
                    .isEqualTo(c.text("sha256_sample_idx_int64le"));
            assertThat(Fixtures.sha256(order.samples(), 8, order::shuffled))
                    .isEqualTo(c.text("sha256_shuffle_idx_int64le"));
        }
    }

    @Test
    void anOrderIsBuiltOnceAndReadAgain() throws IOException {
        SampleOrder built = store(folder).order(sizes(1), REQUEST);
        assertThat(progressed.getAndSet(0)).isPositive();
        same(built, SampleOrder.build(sizes(1), REQUEST));
        assertThat(files()).hasSize(1);
        same(store(folder).order(sizes(1), REQUEST), built);
        assertThat(progressed).hasValue(0);
        assertThat(notes).isEmpty();
    }

    @Test
    void otherSizesSeedsRangesAndLengthsAreOtherFiles() throws IOException {
        store(folder).order(sizes(1), REQUEST);
        store(folder).order(sizes(2), REQUEST);
        store(folder).order(sizes(1), new Request(0, 501, 7, 9_000, 78));
        store(folder).order(sizes(1), new Request(1, 501, 7, 9_000, 77));
        store(folder).order(sizes(1), new Request(0, 501, 8, 9_000, 77));
        assertThat(files()).hasSize(5);
    }

    @Test
    void anyChangedByteOrLengthOfAKeptOrderIsNoticedAndItIsBuiltAnew() throws IOException {
        SampleOrder expected = SampleOrder.build(sizes(1), REQUEST);
        store(folder).order(sizes(1), REQUEST);
        Path file = files().getFirst();
        byte[] whole = Files.readAllBytes(file);
        Random random = new Random(3);
        for (int i = 0; i < 40; i++) {
            byte[] damaged = whole.clone();
            int at = i < 10 ? i * 6 : random.nextInt(whole.length - 8);
            damaged[at] ^= (byte) (1 << random.nextInt(8));
            if (i % 4 == 3) {
                damaged = java.util.Arrays.copyOf(whole, random.nextInt(whole.length + 100));
            }
            Files.write(file, damaged);
            same(store(folder).order(sizes(1), REQUEST), expected);
            assertThat(Files.readAllBytes(file)).isEqualTo(whole);
        }
        assertThat(files()).hasSize(1);
    }

    @Test
    void ofSeveralThatAskAtOnceOneBuilds() throws Exception {
        List<SampleOrder> orders = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        AtomicInteger builders = new AtomicInteger();
        for (int i = 0; i < 6; i++) {
            threads.add(Thread.ofPlatform().start(() -> {
                AtomicInteger own = new AtomicInteger();
                orders.add(new OrderStore(List.of(folder), 0,
                        (_, _) -> own.incrementAndGet(), notes::add).order(sizes(1), REQUEST));
                builders.addAndGet(own.get() > 0 ? 1 : 0);
            }));
        }
        for (Thread thread : threads) {
            thread.join(60_000);
        }
        assertThat(orders).hasSize(6);
        assertThat(builders).hasValue(1);
        SampleOrder expected = SampleOrder.build(sizes(1), REQUEST);
        orders.forEach(order -> same(order, expected));
        assertThat(files()).hasSize(1);
    }

    @Test
    void aFolderThatCannotBeWrittenIsPassedOver() throws IOException {
        Path taken = Files.writeString(folder.resolve("taken"), "a file, no folder");
        Path other = folder.resolve("other");
        SampleOrder order = store(taken, other).order(sizes(1), REQUEST);
        same(order, SampleOrder.build(sizes(1), REQUEST));
        assertThat(other).isNotEmptyDirectory();
        assertThat(notes).hasSize(1).first().asString().contains("taken", "cannot be kept");
        same(store(taken).order(sizes(1), REQUEST), order);
    }

    @Test
    void whatAKilledProcessLeftIsRemovedByTheNextThatBuilds() throws IOException {
        store(folder).order(sizes(1), REQUEST);
        Path file = files().getFirst();
        Path left = Files.writeString(
                file.resolveSibling(file.getFileName() + ".partial-1-2"), "half");
        Path other = Files.writeString(folder.resolve("another.partial-1-2"), "not ours");
        store(folder).order(sizes(1), REQUEST);
        assertThat(left).exists(); // nothing was built
        Files.delete(file);
        store(folder).order(sizes(1), REQUEST);
        assertThat(left).doesNotExist();
        assertThat(other).exists();
    }

    @Test
    void smallOrdersLeaveNoFile() throws IOException {
        new OrderStore(List.of(folder), DataProgress.none(), notes::add).order(sizes(1), REQUEST);
        assertThat(files()).isEmpty();
    }
}
