package castalia.kernels;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/**
 * One compute device and its operations, used by one rank. Calls come from one thread at a time;
 * an implementation may spread a call over a pool of its own.
 */
public interface Device extends AutoCloseable {

    /**
     * The operations. They are done when they return, or appear so: {@link #download} and whatever
     * has a result wait for what was started before.
     */
    Kernels kernels();

    /** A fresh arena of this device's memory. */
    Arena arena();

    /**
     * Whether the host may read and write this device's memory where it lies. Elsewhere only
     * {@link #upload} and {@link #download} may.
     */
    default boolean inHostMemory() {
        return true;
    }

    /** Whether memory lies in one of this device's arenas and not in the host's memory. */
    default boolean owns(MemorySegment memory) {
        return false;
    }

    /** This device's memory for devices of other processes, where they can read it. */
    default Optional<PeerMemory> peerMemory() {
        return Optional.empty();
    }

    /** How this device sends memory to others by its maker's library, where that is there. */
    default Optional<DeviceGroups> groups() {
        return Optional.empty();
    }

    /** Copies host bytes to the start of a buffer. */
    void upload(Buffer to, MemorySegment from);

    /** Copies a buffer to host memory of the same size. */
    void download(MemorySegment to, Buffer from);

    /**
     * What reads this device's memory beside its work; closed before the device.
     *
     * @param slots copies that may be under way, or in use, at once
     * @param slotBytes most bytes of one
     */
    default Copier copier(int slots, long slotBytes) {
        return new HostCopier(slots);
    }

    /** Most partial sums that {@link Kernels#sumPartials} and its like take at once. */
    default int mostPartials() {
        return Integer.MAX_VALUE;
    }

    /** Which work is worth {@link #repeated}. */
    default Repetition repetition() {
        return Repetition.OFF;
    }

    /** Work to be done many times; closed before the device. */
    default Repeated repeated(Runnable work) {
        return new Repeated() {
            @Override
            public void run() {
                work.run();
            }

            @Override
            public void close() {
                // Nothing is kept.
            }
        };
    }

    /** Name for people, such as {@code cpu (2 threads, AVX-512, oneDNN 3.11)}. */
    String description();

    /** What decides the bits of this device's results. */
    NumericVersion numericVersion();

    /**
     * Digests (SHA-256, hexadecimal) of a product of this shape over fixed operands, one for each
     * thread or queue that may compute it; {@link KnownAnswers#of} compares them.
     */
    default List<String> productAnswers(MatmulShape shape) {
        return List.of(KnownAnswers.ofProduct(this, shape));
    }

    @Override
    void close();
}
