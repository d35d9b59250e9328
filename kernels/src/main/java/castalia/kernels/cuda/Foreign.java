package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/** Functions of C libraries. A library once opened stays open: drivers keep threads of their own. */
final class Foreign {

    private Foreign() {}

    /**
     * Opens a library by its path, or by its name where the system looks.
     *
     * @throws IllegalArgumentException if there is none
     */
    static SymbolLookup open(String library) {
        return SymbolLookup.libraryLookup(library, Arena.global());
    }

    /** A function that returns a status. */
    static MethodHandle status(SymbolLookup library, String name, MemoryLayout... arguments) {
        MemorySegment function = library.find(name).orElseThrow(
                () -> new CudaUnavailableException("a library lacks the function " + name));
        return Linker.nativeLinker().downcallHandle(
                function, FunctionDescriptor.of(JAVA_INT, arguments));
    }

    /** What a call threw that is not of the library. */
    static RuntimeException failed(String function, Throwable thrown) {
        return switch (thrown) {
            case RuntimeException e -> e;
            case Error e -> throw e;
            default -> new IllegalStateException(function, thrown);
        };
    }
}
