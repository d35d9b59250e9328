package castalia.testing;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The stand-ins for NVIDIA's libraries that the build compiled, and what tests ask of the one for
 * the driver. The kernels they run are those of {@code src/main/cuda}, compiled for the host.
 */
public final class CudaStandIn {

    private static final Path FOLDER =
            Path.of(System.getProperty("castalia.root", ".."), "kernels", "target", "standin")
                    .toAbsolutePath().normalize();

    private CudaStandIn() {}

    /** Path of the stand-in for the driver; aborts the test where a compiler is missing. */
    public static String driver(String test) {
        Path driver = FOLDER.resolve("libcuda.so.1");
        NotRun.unless(Files.exists(driver), test, "g++ is not on the path");
        return driver.toString();
    }

    /** Folder of all stand-ins. */
    public static String folder() {
        return FOLDER.toString();
    }

    /** Calls of a driver's function so far: through JCuda, or by others. */
    public static long calls(String function, boolean throughJcuda) {
        try (Arena arena = Arena.ofConfined()) {
            return (long) handle("standin_calls", JAVA_LONG, ADDRESS, JAVA_INT)
                    .invokeExact(arena.allocateFrom(function), throughJcuda ? 1 : 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Every function of the driver that was called. */
    public static List<String> called() {
        List<String> names = new ArrayList<>();
        try {
            MethodHandle name = handle("standin_function", ADDRESS, JAVA_INT);
            while (true) {
                MemorySegment text = (MemorySegment) name.invokeExact(names.size());
                if (text.address() == 0) {
                    return names;
                }
                names.add(text.reinterpret(Byte.MAX_VALUE).getString(0));
            }
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * Lets a call fail.
     *
     * @param after calls of the function that succeed before
     * @param sticky whether every later call of any function fails alike
     */
    public static void fail(String function, long after, int code, boolean sticky) {
        try (Arena arena = Arena.ofConfined()) {
            MethodHandle plant = Linker.nativeLinker().downcallHandle(symbol("standin_fail"),
                    FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT));
            plant.invokeExact(arena.allocateFrom(function), after, code, sticky ? 1 : 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Takes back what {@link #fail} did, as a new process would find the driver. */
    public static void recover() {
        try {
            Linker.nativeLinker().downcallHandle(symbol("standin_recover"),
                    FunctionDescriptor.ofVoid()).invokeExact();
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Bytes of memory that a device's processes hold. */
    public static long held(int device) {
        try {
            return (long) handle("standin_held", JAVA_LONG, JAVA_INT).invokeExact(device);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Sets or unsets an environment variable for the native code of this process. */
    public static void environment(String name, String value) {
        Linker linker = Linker.nativeLinker();
        try (Arena arena = Arena.ofConfined()) {
            int status = value == null
                    ? (int) linker.downcallHandle(linker.defaultLookup().findOrThrow("unsetenv"),
                            FunctionDescriptor.of(JAVA_INT, ADDRESS))
                            .invokeExact(arena.allocateFrom(name))
                    : (int) linker.downcallHandle(linker.defaultLookup().findOrThrow("setenv"),
                            FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT))
                            .invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1);
            if (status != 0) {
                throw new IllegalStateException(name + " cannot be set");
            }
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** The order in which threads of a block run. */
    public static void reverse(boolean reverse) {
        try {
            Linker.nativeLinker().downcallHandle(symbol("shim_reverse"),
                    FunctionDescriptor.ofVoid(JAVA_INT)).invokeExact(reverse ? 1 : 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static MemorySegment symbol(String name) {
        return SymbolLookup.libraryLookup(FOLDER.resolve("libcuda.so.1"), Arena.global())
                .findOrThrow(name);
    }

    private static MethodHandle handle(
            String name, MemoryLayout result, MemoryLayout... arguments) {
        return Linker.nativeLinker().downcallHandle(
                symbol(name), FunctionDescriptor.of(result, arguments));
    }
}
