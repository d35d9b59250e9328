package castalia.kernels.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.invoke.MethodHandle;

/**
 * Large anonymous mappings on huge pages: zeroed by the kernel when first touched, which is far
 * cheaper there than on pages of 4 KiB. What is left of a mapping behind its last huge page lies on
 * small ones, so that no memory is taken that was not asked for. Linux only.
 */
final class NativeMemory {

    private static final long HUGE = 2L << 20;
    private static final long PAGE = 4096;
    private static final int PROTECT_READ_WRITE = 3;
    private static final int MAP_PRIVATE_ANONYMOUS = 0x22;
    private static final int MADVISE_HUGEPAGE = 14;

    private static final MethodHandle MMAP = handle("mmap", FunctionDescriptor.of(
            JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MUNMAP =
            handle("munmap", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle MADVISE =
            handle("madvise", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));

    private NativeMemory() {}

    private static MethodHandle handle(String name, FunctionDescriptor descriptor) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(
                linker.defaultLookup().find(name).orElseThrow(), descriptor);
    }

    /** Bytes {@link #map} reserves for {@code bytes}. */
    static long mappedBytes(long bytes) {
        return Math.addExact(bytes, PAGE - 1) / PAGE * PAGE;
    }

    /** Address of {@code bytes} zeroed bytes, aligned to a huge page; 0 if the system refuses. */
    static long map(long bytes) {
        long rounded = mappedBytes(bytes);
        try {
            long base = (long) MMAP.invokeExact(0L, rounded + HUGE, PROTECT_READ_WRITE,
                    MAP_PRIVATE_ANONYMOUS, -1, 0L);
            if (base == -1) {
                return 0;
            }
            long start = (base + HUGE - 1) / HUGE * HUGE;
            if (start > base) {
                unmapExactly(base, start - base);
            }
            if (start < base + HUGE) {
                unmapExactly(start + rounded, base + HUGE - start);
            }
            // Advice only: a kernel without huge pages answers with an error and maps small ones.
            int ignored = (int) MADVISE.invokeExact(start, rounded, MADVISE_HUGEPAGE);
            return start;
        } catch (Throwable e) {
            throw new IllegalStateException("mmap of " + bytes + " bytes", e);
        }
    }

    /** Gives memory of {@link #map} back. */
    static void unmap(long address, long bytes) {
        unmapExactly(address, mappedBytes(bytes));
    }

    private static void unmapExactly(long address, long bytes) {
        try {
            int status = (int) MUNMAP.invokeExact(address, bytes);
            if (status != 0) {
                throw new IllegalStateException("munmap of " + bytes + " bytes failed");
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("munmap of " + bytes + " bytes", e);
        }
    }
}
