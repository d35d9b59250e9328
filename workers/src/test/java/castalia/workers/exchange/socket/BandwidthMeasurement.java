package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Way;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Prints what a data plane moves between two ranks of one process, for people; no test. Every byte
 * is checksummed twice.
 */
final class BandwidthMeasurement {

    private static final long TOTAL = 2L << 30;
    private static final int ROUND_TRIPS = 5000;

    private BandwidthMeasurement() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createTempDirectory("plane");
        for (int repeat = 0; repeat < 3; repeat++) {
            for (Way way : Way.values()) {
                for (int size : new int[] {64 << 10, 1 << 20, 4 << 20}) {
                    try (Planes planes = Planes.open(2, way, folder)) {
                        System.out.printf("%s, frames of %d KiB: one way %.2f GB/s, "
                                + "both ways %.2f GB/s in sum%n", way, size >> 10,
                                oneWay(planes, size), bothWays(planes, size));
                    }
                }
                try (Planes planes = Planes.open(2, way, folder)) {
                    System.out.printf("%s, 4 KiB there and back: %.1f us%n",
                            way, roundTrip(planes));
                }
            }
        }
        Files.delete(folder);
    }

    private static double oneWay(Planes planes, int size) throws InterruptedException {
        List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
        MemorySegment from = planes.memory(size, 1);
        MemorySegment into = planes.memory(size, 2);
        long start = System.nanoTime();
        Thread sender = Thread.ofPlatform().start(() -> send(ranks.get(0), Planes.FIRST, from));
        receive(ranks.get(1), Planes.FIRST, into);
        sender.join();
        return TOTAL / (double) (System.nanoTime() - start);
    }

    private static double bothWays(Planes planes, int size) throws InterruptedException {
        List<Transport> ranks = planes.join(Planes.SECOND, Planes.LONG);
        MemorySegment from = planes.memory(size, 1);
        long start = System.nanoTime();
        List<Thread> threads = ranks.stream().map(rank -> {
            MemorySegment into = planes.memory(size, 2);
            return Thread.ofPlatform().start(() -> {
                for (int i = 0; i < TOTAL / size; i++) {
                    rank.send(1 - rank.rank(), Planes.tag(Planes.SECOND, i), from);
                    rank.receive(1 - rank.rank(), Planes.tag(Planes.SECOND, i), into);
                    rank.drain();
                }
            });
        }).toList();
        for (Thread thread : threads) {
            thread.join();
        }
        return 2 * TOTAL / (double) (System.nanoTime() - start);
    }

    /** Eight frames under way at once, about as an exchange of gradients has. */
    private static void send(Transport rank, Fence fence, MemorySegment from) {
        for (int i = 0; i < TOTAL / from.byteSize(); i++) {
            rank.send(1, Planes.tag(fence, i), from);
            if (i % 8 == 7) {
                rank.drain();
            }
        }
        rank.drain();
    }

    private static void receive(Transport rank, Fence fence, MemorySegment into) {
        for (int i = 0; i < TOTAL / into.byteSize(); i++) {
            rank.receive(0, Planes.tag(fence, i), into);
        }
    }

    private static double roundTrip(Planes planes) throws InterruptedException {
        List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
        MemorySegment one = planes.memory(4096, 1);
        MemorySegment two = planes.memory(4096, 1);
        Thread echo = Thread.ofPlatform().start(() -> {
            for (int i = 0; i < ROUND_TRIPS; i++) {
                ranks.get(1).receive(0, Planes.tag(Planes.FIRST, i), two);
                ranks.get(1).send(0, Planes.tag(Planes.FIRST, i), two);
            }
        });
        long start = System.nanoTime();
        for (int i = 0; i < ROUND_TRIPS; i++) {
            ranks.get(0).send(1, Planes.tag(Planes.FIRST, i), one);
            ranks.get(0).receive(1, Planes.tag(Planes.FIRST, i), one);
        }
        long end = System.nanoTime();
        echo.join();
        return (end - start) / 1000.0 / ROUND_TRIPS;
    }
}
