package castalia.kernels.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The kernels as nvcc compiled them at build time: one image per source file, listed in {@code
 * modules}. A build without nvcc has none.
 *
 * @param modules images by the source files' names
 * @param fingerprint SHA-256 of the sources and the compiler's flags
 */
record KernelImages(Map<String, byte[]> modules, String fingerprint) {

    private static final String LIST = "modules";

    /**
     * The images on the class path.
     *
     * @throws CudaUnavailableException if there are none
     */
    static KernelImages ofBuild() {
        List<String> lines = text(LIST).lines().filter(line -> !line.isBlank()).toList();
        Map<String, byte[]> modules = new TreeMap<>();
        for (String name : lines.subList(1, lines.size())) {
            modules.put(name, bytes(name + ".fatbin"));
        }
        return new KernelImages(modules, lines.getFirst());
    }

    private static String text(String name) {
        return new String(bytes(name), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(String name) {
        try (InputStream in = KernelImages.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new CudaUnavailableException("this build has no CUDA kernels (no " + name
                        + "): it was made without nvcc; build it where CUDA 13's nvcc is on the"
                        + " path");
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new CudaUnavailableException("cannot read " + name + ": " + e.getMessage(), e);
        }
    }
}
