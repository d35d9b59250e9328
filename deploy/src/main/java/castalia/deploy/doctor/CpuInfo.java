package castalia.deploy.doctor;

import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;

/**
 * What /proc/cpuinfo says of the first processor.
 *
 * @param model the vendor's name, or "unknown processor"
 * @param vectors the widest vector instructions
 */
record CpuInfo(String model, Vectors vectors) {
    /** Vector instructions, each with those above it. */
    enum Vectors {
        NONE("no AVX2"),
        AVX2("AVX2"),
        AVX512("AVX-512"),
        AVX512_BF16("AVX-512 with bf16"),
        AMX("AVX-512 with bf16 and AMX");

        private final String label;

        Vectors(String label) {
            this.label = label;
        }

        String label() {
            return label;
        }
    }

    /** Reads the text of /proc/cpuinfo. */
    static CpuInfo parse(String text) {
        String model = value(text, "model name");
        Set<String> flags = new TreeSet<>(Arrays.asList(value(text, "flags").split(" ", -1)));
        return new CpuInfo(model.isEmpty() ? "unknown processor" : model, vectors(flags));
    }

    private static Vectors vectors(Set<String> flags) {
        boolean avx512 = flags.containsAll(Set.of("avx512f", "avx512bw", "avx512dq", "avx512vl"));
        if (avx512 && flags.contains("avx512_bf16")) {
            return flags.containsAll(Set.of("amx_tile", "amx_bf16"))
                    ? Vectors.AMX
                    : Vectors.AVX512_BF16;
        } else if (avx512) {
            return Vectors.AVX512;
        }
        return flags.containsAll(Set.of("avx2", "fma")) ? Vectors.AVX2 : Vectors.NONE;
    }

    private static String value(String text, String key) {
        return text.lines()
                .filter(
                        line ->
                                line.startsWith(key)
                                        && line.substring(key.length()).strip().startsWith(":"))
                .findFirst()
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .orElse("");
    }
}
