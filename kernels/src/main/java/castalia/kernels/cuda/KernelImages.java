package castalia.kernels.cuda;

import castalia.kernels.natives.NativeFile;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The kernels as images that the driver loads, one per source file: compiled by nvcc at build time,
 * or here, once per machine, by NVIDIA's run-time compiler.
 *
 * @param modules images by the source files' names
 * @param fingerprint of the sources, the compiler and its options
 */
record KernelImages(Map<String, byte[]> modules, String fingerprint) {

    /** The fingerprint of the Java sources that say what is computed and in which parts. */
    private static final String LAUNCHES = "launches";

    /** Names of what nvcc compiled, after the fingerprint; there only in a build with nvcc. */
    private static final String COMPILED = "modules";

    /** Names of the source files, after their fingerprint. */
    private static final String SOURCES = "sources";

    private static final int HOPPER = 90;

    /**
     * The images on the class path, else compiled from the sources there.
     *
     * @param capability of the device
     * @throws CudaUnavailableException if there are none and they cannot be made
     */
    static KernelImages of(CudaSettings settings, int capability) {
        return KernelImages.class.getResource(COMPILED) != null
                ? ofBuild() : compiled(settings, capability);
    }

    /**
     * What decides bits and lies in this program: the kernels, and how they and the library's products
     * are asked for, so that nobody has to remember it.
     */
    String decides() {
        return "kernels " + fingerprint + ", launches " + lines(LAUNCHES).getFirst();
    }

    private static KernelImages ofBuild() {
        List<String> lines = lines(COMPILED);
        Map<String, byte[]> modules = new TreeMap<>();
        for (String name : lines.subList(1, lines.size())) {
            modules.put(name, bytes(name + ".fatbin"));
        }
        return new KernelImages(modules, lines.getFirst());
    }

    /** Compiled here, or by an earlier process: a cubin is kept by all that decides it. */
    static KernelImages compiled(CudaSettings settings, int capability) {
        List<String> lines = lines(SOURCES);
        Nvrtc compiler = Nvrtc.open(settings.libraryPath());
        String target = "sm_" + capability + (capability == HOPPER ? "a" : "");
        String fingerprint = lines.getFirst() + "-nvrtc-" + compiler.version() + "-" + target;
        Map<String, String> headers = new TreeMap<>();
        lines.stream().filter(name -> name.endsWith(".cuh"))
                .forEach(name -> headers.put(name, text(name)));
        Map<String, byte[]> modules = new TreeMap<>();
        lines.stream().filter(name -> name.endsWith(".cu")).forEach(name -> {
            try {
                modules.put(name, NativeFile.keep(
                        settings.nativesFolder() + "/cuda-" + fingerprint, name + ".cubin",
                        () -> compiler.compile(name, text(name), headers,
                                List.of("--std=c++17", "--fmad=false",
                                        "--gpu-architecture=" + target))));
            } catch (IOException e) {
                throw new CudaUnavailableException("the compiled kernels cannot be kept: "
                        + e.getMessage(), e);
            }
        });
        return new KernelImages(modules, fingerprint);
    }

    private static List<String> lines(String name) {
        return text(name).lines().filter(line -> !line.isBlank()).toList();
    }

    private static String text(String name) {
        return new String(bytes(name), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(String name) {
        try (InputStream in = KernelImages.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new CudaUnavailableException("this build has no " + name + " for CUDA");
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new CudaUnavailableException("cannot read " + name + ": " + e.getMessage(), e);
        }
    }
}
