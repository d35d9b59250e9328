package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.step.VirtualRanks.Block;
import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class BatchReaderTest {
    private static final Duration DEADLINE = Duration.ofSeconds(20);
    /** How long the compiler may take until steps allocate nothing. */
    private static final int MOST_SECONDS = 30;
    private static final BatchShape SHAPE = new BatchShape(8, 4, 1, 3);

    /** A source that writes (step, virtual rank, micro-batch) and can be held up or fail. */
    private static final class Scripted implements BatchSource {
        final ConcurrentLinkedQueue<String> reads = new ConcurrentLinkedQueue<>();
        final Semaphore gate = new Semaphore(Integer.MAX_VALUE);
        final AtomicInteger finished = new AtomicInteger();
        volatile long failingStep = -1;

        @Override
        public BatchShape shape() {
            return SHAPE;
        }

        @Override
        public int vocabularySize() {
            return 100;
        }

        @Override
        public void fill(long step, int virtualRank, int microBatch, MemorySegment inputs,
                MemorySegment labels) {
            reads.add(step + " " + Thread.currentThread().getName().startsWith("batch-reader"));
            gate.acquireUninterruptibly();
            gate.release();
            if (step == failingStep) {
                throw new DataException("step " + step + " is broken");
            }
            inputs.setAtIndex(ValueLayout.JAVA_INT, 0, (int) step);
            inputs.setAtIndex(ValueLayout.JAVA_INT, 1, virtualRank);
            labels.setAtIndex(ValueLayout.JAVA_INT, 2, microBatch);
            finished.incrementAndGet();
        }

        @Override
        public List<String> description() {
            return List.of("data.kind=scripted");
        }
    }

    private static void check(BatchSource reader, long step, int rank, int micro) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment inputs = arena.allocate(4L * SHAPE.tokens());
            MemorySegment labels = arena.allocate(4L * SHAPE.tokens());
            reader.fill(step, rank, micro, inputs, labels);
            assertThat(inputs.getAtIndex(ValueLayout.JAVA_INT, 0)).isEqualTo((int) step);
            assertThat(inputs.getAtIndex(ValueLayout.JAVA_INT, 1)).isEqualTo(rank);
            assertThat(labels.getAtIndex(ValueLayout.JAVA_INT, 2)).isEqualTo(micro);
        }
    }

    private static void await(IntSupplier counter, int count) throws InterruptedException {
        long start = System.nanoTime();
        while (counter.getAsInt() < count) {
            assertThat(System.nanoTime() - start).isLessThan(DEADLINE.toNanos());
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }

    @Test
    void theNextStepIsReadAheadByTheReadersThread() throws InterruptedException {
        Scripted source = new Scripted();
        try (BatchReader reader = new BatchReader(source, new Block(1, 2), DEADLINE)) {
            check(reader, 5, 1, 0);
            await(source.reads::size, 5);
            for (int rank = 1; rank <= 2; rank++) {
                for (int micro = 0; micro < 2; micro++) {
                    check(reader, 6, rank, micro);
                }
            }
            await(source.reads::size, 9);
        }
        assertThat(source.reads.stream().filter(read -> read.startsWith("5")))
                .containsExactly("5 false");
        assertThat(source.reads.stream().filter(read -> read.startsWith("6")))
                .containsExactly("6 true", "6 true", "6 true", "6 true");
    }

    @Test
    void anyStepMayFollowAnyOther() {
        Random random = new Random(3);
        try (BatchReader reader = new BatchReader(new Scripted(), new Block(0, 4), DEADLINE)) {
            long step = 0;
            for (int i = 0; i < 3000; i++) {
                step = switch (random.nextInt(6)) {
                    case 0 -> random.nextInt(1000);
                    case 1 -> Math.max(0, step - 1);
                    case 2 -> step;
                    default -> step + 1;
                };
                check(reader, step, random.nextInt(4), random.nextInt(2));
            }
        }
    }

    @Test
    void severalThreadsAtDifferentStepsGetTheirOwn() throws InterruptedException {
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        try (BatchReader reader = new BatchReader(new Scripted(), new Block(0, 4), DEADLINE)) {
            Thread[] threads = new Thread[3];
            for (int t = 0; t < threads.length; t++) {
                int rank = t;
                threads[t] = new Thread(() -> {
                    try {
                        for (long step = 0; step < 400; step++) {
                            check(reader, step, rank, (int) step % 2);
                        }
                    } catch (RuntimeException | Error e) {
                        failures.add(e);
                    }
                });
                threads[t].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
        }
        assertThat(failures).isEmpty();
    }

    @Test
    void aReadThatFailsIsReportedWhenItsStepIsAskedForAndOnlyThen() {
        Scripted source = new Scripted();
        source.failingStep = 3;
        try (BatchReader reader = new BatchReader(source, new Block(0, 4), DEADLINE)) {
            check(reader, 2, 0, 0);
            assertThatThrownBy(() -> check(reader, 3, 0, 0))
                    .isInstanceOf(DataException.class)
                    .hasMessage("step 3 is broken");
            check(reader, 4, 0, 0);
            check(reader, 5, 3, 1);
        }
    }

    @Test
    void aStepThatDoesNotArriveIsReportedAfterTheDeadline() throws InterruptedException {
        Scripted source = new Scripted();
        BatchReader reader = new BatchReader(source, new Block(0, 4), Duration.ofMillis(200));
        check(reader, 0, 0, 0);
        await(source.finished::get, 9);
        source.gate.drainPermits();
        inTheEnd(() -> check(reader, 1, 0, 0)); // who read it may have yet to say so
        await(source.reads::size, 10);
        assertThatThrownBy(() -> check(reader, 2, 0, 0))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("step 2 was not read within");
        assertThatThrownBy(reader::close)
                .isInstanceOf(DataException.class)
                .hasMessageContaining("did not end");
        source.gate.release(1000);
        inTheEnd(reader::close);
    }

    /** Repeats what waits for a brief time only. */
    private static void inTheEnd(Runnable attempt) {
        long start = System.nanoTime();
        while (true) {
            try {
                attempt.run();
                return;
            } catch (DataException e) {
                assertThat(System.nanoTime() - start).as("%s", e).isLessThan(DEADLINE.toNanos());
            }
        }
    }

    @Test
    void closingEndsTheThreadAndRefusesFurtherReads() {
        BatchReader reader = new BatchReader(new Scripted(), new Block(0, 4), DEADLINE);
        check(reader, 0, 0, 0);
        reader.close();
        reader.close();
        assertThatThrownBy(() -> check(reader, 1, 0, 0)).isInstanceOf(IllegalStateException.class);
        assertThat(Thread.getAllStackTraces().keySet())
                .noneMatch(thread -> thread.isAlive() && thread.getName().equals("batch-reader-0"));
    }

    @Test
    void anInterruptedWaitSaysSoAndKeepsTheInterrupt() throws InterruptedException {
        Scripted source = new Scripted();
        try (BatchReader reader = new BatchReader(source, new Block(0, 4), DEADLINE)) {
            check(reader, 0, 0, 0);
            await(source.finished::get, 9);
            source.gate.drainPermits();
            check(reader, 1, 0, 0);
            await(source.reads::size, 10);
            CountDownLatch done = new CountDownLatch(1);
            boolean[] kept = new boolean[1];
            Thread waiting = new Thread(() -> {
                try {
                    check(reader, 2, 0, 0);
                } catch (DataException e) {
                    kept[0] = Thread.currentThread().isInterrupted();
                }
                done.countDown();
            });
            waiting.start();
            waiting.interrupt();
            assertThat(done.await(20, TimeUnit.SECONDS)).isTrue();
            assertThat(kept[0]).isTrue();
            source.gate.release(1000);
        }
    }

    @Test
    void ranksThatAreNotHostedAreRefused() {
        try (BatchReader reader = new BatchReader(new Scripted(), new Block(1, 2), DEADLINE)) {
            assertThatThrownBy(() -> check(reader, 0, 0, 0))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> check(reader, 0, 3, 0))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> check(reader, 0, 1, 2))
                    .isInstanceOf(IndexOutOfBoundsException.class);
        }
        assertThatThrownBy(() -> new BatchReader(new Scripted(), new Block(3, 2), DEADLINE).close())
                .isInstanceOf(IllegalArgumentException.class);
    }

    private static long readingThread() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("batch-reader-0"))
                .mapToLong(Thread::threadId)
                .findAny().orElseThrow();
    }

    /** Reads steps until both threads have been seen to allocate less than 2 bytes a step. */
    private static void allocatesNothing(BatchSource source) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int steps = 500;
        BatchShape shape = source.shape();
        try (Arena arena = Arena.ofConfined();
                BatchReader reader = new BatchReader(source, new Block(0, 2), DEADLINE)) {
            MemorySegment inputs = arena.allocate(4L * shape.tokens());
            MemorySegment labels = arena.allocate(4L * shape.tokens());
            long thread = readingThread();
            long step = 0;
            long least = Long.MAX_VALUE;
            long begun = System.nanoTime();
            // The first rounds are interpreted or compiled with boxes that are optimised away later.
            while (least > 2L * steps
                    && System.nanoTime() - begun < TimeUnit.SECONDS.toNanos(MOST_SECONDS)) {
                long before = threads.getCurrentThreadAllocatedBytes()
                        + threads.getThreadAllocatedBytes(thread);
                for (int end = 0; end < steps; end++, step++) {
                    for (int unit = 0; unit < 2 * shape.microBatches(); unit++) {
                        reader.fill(step, unit / shape.microBatches(), unit % shape.microBatches(),
                                inputs, labels);
                    }
                }
                least = Math.min(least, threads.getCurrentThreadAllocatedBytes()
                        + threads.getThreadAllocatedBytes(thread) - before);
            }
            assertThat(least).as("bytes of %d steps", steps).isLessThanOrEqualTo(2L * steps);
        }
    }

    @Test
    @Timeout(60 + 2 * MOST_SECONDS)
    void aStepAllocatesNothingWhicheverThreadReadsIt() {
        Fixtures.Case c = Fixtures.Case.named("multi_epoch");
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()))) {
            SampleReader samples = new SampleReader(file, SampleOrder.build(file, c.request()));
            TokenBatches source = new TokenBatches(samples, new BatchShape(8, 2, 2, 16), 50_304);
            allocatesNothing(source);
            TokenTransform ids = new IdTransform(0, Long.MAX_VALUE, Map.of(1, 2, 3, 4), 50_304);
            allocatesNothing(new TransformedBatches(source, List.of(ids, ids)));
        }
    }
}
