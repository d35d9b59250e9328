package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** NVIDIA's run-time compiler, major version 12 or 13, for builds that were made without nvcc. */
final class Nvrtc {

    private static final List<String> NAMES = List.of("libnvrtc.so.13", "libnvrtc.so.12");
    private static final int LONGEST_LOG = 1 << 20;

    private final SymbolLookup library;
    private final String version;

    private Nvrtc(SymbolLookup library) {
        this.library = library;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment major = arena.allocate(JAVA_INT);
            MemorySegment minor = arena.allocate(JAVA_INT);
            require(call("nvrtcVersion", major, minor), "nvrtcVersion");
            version = major.get(JAVA_INT, 0) + "." + minor.get(JAVA_INT, 0);
        }
    }

    /**
     * Opens the library in the given folders, or where the system looks if there are none.
     *
     * @throws CudaUnavailableException if there is none
     */
    static Nvrtc open(String libraryPath) {
        List<String> tried = new ArrayList<>();
        for (String folder : libraryPath.split(":", -1)) {
            for (String name : NAMES) {
                String path = folder.isEmpty() ? name : folder + "/" + name;
                try {
                    return new Nvrtc(Foreign.open(path));
                } catch (IllegalArgumentException _) {
                    tried.add(path);
                }
            }
        }
        throw new CudaUnavailableException("this build was made without nvcc and so has no CUDA"
                + " kernels, and no run-time compiler was found to make them (tried "
                + String.join(", ", tried) + "); build it where nvcc is on the path, or name the"
                + " compiler's folder in castalia.gpu.library-path");
    }

    /** Such as {@code 13.0}. */
    String version() {
        return version;
    }

    /**
     * Compiles a file.
     *
     * @param headers what it may include, by name
     * @return a cubin
     * @throws CudaUnavailableException with the compiler's first error
     */
    byte[] compile(String name, String source, Map<String, String> headers, List<String> options) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment program = arena.allocate(ADDRESS);
            require(call("nvrtcCreateProgram", program, arena.allocateFrom(source),
                    arena.allocateFrom(name), headers.size(),
                    strings(arena, List.copyOf(headers.values())),
                    strings(arena, List.copyOf(headers.keySet()))), "nvrtcCreateProgram");
            MemorySegment made = program.get(ADDRESS, 0);
            try {
                int status = call(
                        "nvrtcCompileProgram", made, options.size(), strings(arena, options));
                if (status != 0) {
                    throw new CudaUnavailableException("NVRTC " + version + " cannot compile "
                            + name + ": " + firstError(made, status, arena));
                }
                return bytes("nvrtcGetCUBIN", made, arena);
            } finally {
                require(call("nvrtcDestroyProgram", program), "nvrtcDestroyProgram");
            }
        }
    }

    private String firstError(MemorySegment program, int status, Arena arena) {
        String log = new String(bytes("nvrtcGetProgramLog", program, arena),
                java.nio.charset.StandardCharsets.UTF_8);
        return log.lines().filter(line -> line.contains("error")).findFirst()
                .orElse("status " + status);
    }

    private byte[] bytes(String function, MemorySegment program, Arena arena) {
        MemorySegment size = arena.allocate(JAVA_LONG);
        require(call(function + "Size", program, size), function + "Size");
        long bytes = size.get(JAVA_LONG, 0);
        if (bytes < 0 || bytes > (long) LONGEST_LOG * 64) {
            throw new CudaUnavailableException(function + " gives " + bytes + " bytes");
        }
        MemorySegment content = arena.allocate(Math.max(1, bytes));
        require(call(function, program, content), function);
        return content.asSlice(0, bytes).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
    }

    private static MemorySegment strings(Arena arena, List<String> strings) {
        MemorySegment all = arena.allocate(ADDRESS, Math.max(1, strings.size()));
        for (int i = 0; i < strings.size(); i++) {
            all.setAtIndex(ADDRESS, i, arena.allocateFrom(strings.get(i)));
        }
        return all;
    }

    private int call(String function, Object... arguments) {
        MemoryLayout[] layouts = new MemoryLayout[arguments.length];
        for (int i = 0; i < layouts.length; i++) {
            layouts[i] = arguments[i] instanceof Integer ? JAVA_INT : ADDRESS;
        }
        try {
            return (int) Foreign.status(library, function, layouts).invokeWithArguments(arguments);
        } catch (Throwable e) {
            throw Foreign.failed(function, e);
        }
    }

    private static void require(int status, String function) {
        if (status != 0) {
            throw new CudaUnavailableException(function + " answers " + status);
        }
    }
}
