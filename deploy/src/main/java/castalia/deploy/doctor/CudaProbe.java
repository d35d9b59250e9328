package castalia.deploy.doctor;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;

/**
 * Asks NVIDIA's driver library for its version and number of devices, by its C functions alone, so
 * that a machine without the driver gives an answer instead of a failing class.
 */
final class CudaProbe {
    private static final String WHAT = "CUDA driver";
    private static final String CPU_ADVICE = "only the CUDA back end needs one";

    private CudaProbe() {}

    /** {@code library} is libcuda.so.1 outside tests. */
    static Finding driver(String library) {
        SymbolLookup symbols;
        try {
            // Never unloaded: the driver keeps threads of its own.
            symbols = SymbolLookup.libraryLookup(library, Arena.global());
        } catch (IllegalArgumentException _) {
            return Finding.ok(WHAT, "none (" + library + " is not installed); " + CPU_ADVICE);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment number = arena.allocate(JAVA_INT);
            int code = call(symbols, "cuDriverGetVersion", number);
            if (code != 0) {
                return broken("cuDriverGetVersion", code);
            }
            int version = number.get(JAVA_INT, 0);
            code = initialise(symbols);
            if (code != 0) {
                return broken("cuInit", code);
            }
            code = call(symbols, "cuDeviceGetCount", number);
            if (code != 0) {
                return broken("cuDeviceGetCount", code);
            }
            return Finding.ok(
                    WHAT,
                    "for CUDA "
                            + version / 1000
                            + "."
                            + version % 1000 / 10
                            + ", devices: "
                            + number.get(JAVA_INT, 0));
        } catch (IllegalStateException e) {
            return Finding.warn(WHAT, e.getMessage() + " in " + library, CPU_ADVICE);
        }
    }

    private static Finding broken(String function, int code) {
        return Finding.warn(
                WHAT,
                "installed, but " + function + " answers " + code,
                "check nvidia-smi; " + CPU_ADVICE);
    }

    private static int initialise(SymbolLookup symbols) {
        try {
            return (int)
                    Linker.nativeLinker()
                            .downcallHandle(
                                    function(symbols, "cuInit"),
                                    FunctionDescriptor.of(JAVA_INT, JAVA_INT))
                            .invokeExact(0);
        } catch (Throwable e) {
            throw new IllegalStateException("cuInit cannot be called", e);
        }
    }

    private static int call(SymbolLookup symbols, String name, MemorySegment result) {
        try {
            return (int)
                    Linker.nativeLinker()
                            .downcallHandle(
                                    function(symbols, name),
                                    FunctionDescriptor.of(JAVA_INT, ADDRESS))
                            .invokeExact(result);
        } catch (Throwable e) {
            throw new IllegalStateException(name + " cannot be called", e);
        }
    }

    private static MemorySegment function(SymbolLookup symbols, String name) {
        return symbols.find(name)
                .orElseThrow(() -> new IllegalStateException("no function " + name));
    }
}
