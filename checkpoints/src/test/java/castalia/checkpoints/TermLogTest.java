package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class TermLogTest {

    @TempDir
    private Path folder;

    private TermLog log() {
        return new TermLog(FileOperations.real(), folder);
    }

    @Test
    void termsAreClaimedInOrderAndRemembered() throws IOException {
        assertThat(log().newest()).isZero();
        assertThat(log().claim("a")).contains(1L);
        assertThat(log().claim("b")).contains(2L);
        assertThat(log().newest()).isEqualTo(2);
        assertThat(log().claimant(1)).contains("a");
        assertThat(log().claimant(3)).isEmpty();
    }

    @Test
    @Timeout(60)
    void ofManyThatClaimAtOnceOneWinsEachTerm() throws Exception {
        int claimants = 8;
        CyclicBarrier barrier = new CyclicBarrier(claimants);
        List<Future<List<Long>>> all = new ArrayList<>();
        try (ExecutorService threads = Executors.newFixedThreadPool(claimants)) {
            for (int i = 0; i < claimants; i++) {
                String name = "claimant " + i;
                all.add(threads.submit(() -> {
                    List<Long> won = new ArrayList<>();
                    for (int round = 0; round < 10; round++) {
                        barrier.await();
                        Optional<Long> term = log().claim(name);
                        term.ifPresent(won::add);
                    }
                    return won;
                }));
            }
            List<Long> won = new ArrayList<>();
            for (Future<List<Long>> one : all) {
                won.addAll(one.get());
            }
            assertThat(won).doesNotHaveDuplicates().hasSizeGreaterThanOrEqualTo(10);
            assertThat(log().newest()).isEqualTo(won.size());
        }
    }
}
