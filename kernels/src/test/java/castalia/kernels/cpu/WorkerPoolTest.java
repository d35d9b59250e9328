package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Every block once, failures at the caller, no threads left behind. */
@Timeout(60)
class WorkerPoolTest {

    private static final class Counting extends WorkerPool.Task {
        private final AtomicIntegerArray taken = new AtomicIntegerArray(1000);

        @Override
        void block(int block, int thread) {
            taken.incrementAndGet(block);
        }
    }

    @Test
    void everyBlockIsTakenOnceWhateverTheNumbers() {
        for (int threads = 1; threads <= 5; threads++) {
            try (WorkerPool pool = new WorkerPool(threads)) {
                for (int blocks : new int[] {0, 1, 2, 3, 1000, 7, 2}) {
                    for (int repeat = 0; repeat < 50; repeat++) {
                        Counting task = new Counting();
                        pool.run(task, blocks);
                        for (int block = 0; block < 1000; block++) {
                            assertThat(task.taken.get(block)).isEqualTo(block < blocks ? 1 : 0);
                        }
                    }
                }
            }
        }
    }

    @Test
    void everyThreadRunsItsOwnBlock() {
        try (WorkerPool pool = new WorkerPool(4)) {
            AtomicIntegerArray seen = new AtomicIntegerArray(4);
            pool.runOnEach(new WorkerPool.Task() {
                @Override
                void block(int block, int thread) {
                    assertThat(block).isEqualTo(thread);
                    seen.incrementAndGet(thread);
                }
            });
            for (int thread = 0; thread < 4; thread++) {
                assertThat(seen.get(thread)).isEqualTo(1);
            }
        }
    }

    @Test
    void aFailingBlockSurfacesAtTheCallerAndThePoolGoesOn() {
        try (WorkerPool pool = new WorkerPool(3)) {
            for (int failing = 0; failing < 20; failing++) {
                int bad = failing;
                assertThatThrownBy(() -> pool.run(new WorkerPool.Task() {
                    @Override
                    void block(int block, int thread) {
                        if (block == bad) {
                            throw new IllegalArgumentException("block " + block);
                        }
                    }
                }, 20)).isInstanceOf(IllegalArgumentException.class).hasMessage("block " + bad);
                Counting task = new Counting();
                pool.run(task, 5);
                assertThat(task.taken.get(4)).isEqualTo(1);
            }
        }
    }

    @Test
    void closingEndsTheThreads() {
        String name = "castalia-cpu-6";
        WorkerPool pool = new WorkerPool(7);
        assertThat(Thread.getAllStackTraces().keySet()).anyMatch(t -> t.getName().equals(name));
        pool.close();
        assertThat(Thread.getAllStackTraces().keySet()).noneMatch(t -> t.getName().equals(name));
        assertThatThrownBy(() -> pool.run(new Counting(), 2))
                .isInstanceOf(IllegalStateException.class);
    }
}
