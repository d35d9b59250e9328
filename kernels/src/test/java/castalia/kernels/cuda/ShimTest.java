package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.testing.CudaStandIn;
import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The CUDA kernels, compiled for the host, against plain computations in double (self_test.cpp):
 * right, and the same bits in both orders of threads; and faults planted in the kernels are found,
 * so that a right answer means something.
 */
@Tag("default")
class ShimTest {

    private static final Path SOURCES =
            Path.of(System.getProperty("castalia.root", ".."), "kernels", "src");

    @TempDir
    static Path folder;

    /** One change of a kernel, the family of tests that must see it, and what they say of it. */
    private record Fault(String file, String from, String to, String family, String message) {}

    private record Outcome(int status, String text) {}

    @BeforeAll
    static void compile() throws Exception {
        NotRun.unlessTool("kernels of the CUDA back end on the shim", "g++");
        compile(SOURCES.resolve("test/cuda/self_test.cpp"), SOURCES.resolve("main/cuda"),
                folder.resolve("self_test.o"));
    }

    @Test
    void attentionAndNormsAreRightInBothOrdersOfThreads() throws Exception {
        right("attention", "norms");
    }

    @Test
    void theOtherKernelsAreRightInBothOrdersOfThreads() throws Exception {
        right("pointwise", "others");
    }

    private static void right(String... families) throws Exception {
        Path program = link(null, null);
        List<String> command = new ArrayList<>(List.of(program.toString()));
        command.addAll(List.of(families));
        Outcome outcome = run(command);
        assertThat(outcome.status()).as(outcome.text()).isZero();
        assertThat(outcome.text()).contains(families);
    }

    @Test
    void missingBarriersAreFound() throws Exception {
        found(new Fault("norms.cu", "__syncthreads();  // an earlier sum was read", ";", "norms",
                "is"));
        found(new Fault("optimizer.cu", "  __syncthreads();\n  if (threadIdx.x < 2)",
                "  if (threadIdx.x < 2)", "others", "digest"));
        found(new Fault("cross_entropy.cu", "    __syncthreads();\n    if (threadIdx.x < width)",
                "    if (threadIdx.x < width)", "others", "loss"));
        found(new Fault("tokens.cu", "    __syncthreads();\n#pragma unroll 4", "#pragma unroll 4",
                "others", "dWeight"));
    }

    @Test
    void barriersThatNotAllReachAreReported() throws Exception {
        found(new Fault("optimizer.cu", "  __syncthreads();\n  if (threadIdx.x < 2)",
                "  if (threadIdx.x == 7) return;\n  __syncthreads();\n  if (threadIdx.x < 2)",
                "others", "barrier divergence"));
        found(new Fault("attention_plain.cu", "  sum = warpSum(sum);\n",
                "  if (lane == 3) return;\n  sum = warpSum(sum);\n", "attention", "barrier divergence"));
    }

    @Test
    void wrongArithmeticIsFound() throws Exception {
        found(new Fault("common.cuh", "bits + 0x7FFFu", "bits + 0x8000u", "pointwise", "to the bit"));
        found(new Fault("rotary.cu", "x1 * cosine - x2 * sine", "x1 * cosine + x2 * sine", "others",
                "rotated"));
        found(new Fault("cross_entropy.cu", "sum *= expf(largest - shift);", "", "others",
                "is"));
    }

    /** Races and slips of the attention on tensor cores: each takes seconds to compile. */
    @Test
    @Tag("full")
    void faultsOfTheAttentionAreFound() throws Exception {
        String wait = "    waitCopies<0>();\n    __syncthreads();\n";
        String values = "    loadTile<T, D, KEYS, THREADS>(valueTile";
        String keys = "    if (key0 + KEYS < end) {\n      loadTile";
        for (Fault fault : List.of(
                new Fault("attention.cu", wait + values, "    waitCopies<0>();\n" + values,
                        "attention", "is"),
                new Fault("attention.cu", wait + keys, "    waitCopies<0>();\n" + keys,
                        "attention", "is"),
                new Fault("attention.cu", wait + keys, "    __syncthreads();\n" + keys,
                        "attention", "asynchronous copies"),
                new Fault("attention.cu", "key > row +", "key >= row +", "attention", "is"),
                new Fault("attention_backward.cu", "key0 + warpRow + 15;", "key0 + warpRow;",
                        "attention", "is"),
                new Fault("attention_backward.cu", "dKey, SCALE, SCALE", "dKey, SCALE, 1.0f",
                        "attention", "dQkv"))) {
            found(fault);
        }
    }

    private static void found(Fault fault) throws Exception {
        Path changed = Files.createTempDirectory(folder, "fault");
        try (Stream<Path> files = Files.list(SOURCES.resolve("main/cuda"))) {
            for (Path file : files.toList()) {
                Files.copy(file, changed.resolve(file.getFileName()));
            }
        }
        String code = Files.readString(changed.resolve(fault.file()));
        assertThat(code).contains(fault.from());
        int at = code.indexOf(fault.from());
        Files.writeString(changed.resolve(fault.file()),
                code.substring(0, at) + fault.to() + code.substring(at + fault.from().length()));
        String unit = fault.file().endsWith(".cuh") ? "pointwise.cu" : fault.file();
        Path object = changed.resolve("fault.o");
        compile(changed.resolve(unit), changed, object);
        Outcome outcome = run(List.of(link(unit, object).toString(), fault.family()));
        assertThat(outcome.status()).as("%s: %s", fault, outcome.text()).isEqualTo(1);
        assertThat(outcome.text()).as("%s", fault).contains(fault.message());
    }

    private static void compile(Path file, Path kernels, Path object) throws Exception {
        Outcome outcome = run(List.of("g++", "-std=c++20", "-O2", "-fPIC", "-DCASTALIA_SHIM", "-I",
                SOURCES.resolve("test/cuda/shim").toString(), "-I", kernels.toString(),
                "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-x", "c++",
                "-c", file.toString(), "-o", object.toString()));
        assertThat(outcome.status()).as(outcome.text()).isZero();
    }

    /** A program of all kernels, one of them perhaps replaced. */
    private static Path link(String replaced, Path by) throws Exception {
        Path program = Files.createTempDirectory(folder, "program").resolve("self_test");
        List<String> command = new ArrayList<>(List.of("g++", "-o", program.toString(),
                folder.resolve("self_test.o").toString()));
        try (Stream<Path> objects = Files.list(Path.of(CudaStandIn.folder(), "objects"))) {
            for (Path object : objects.sorted().toList()) {
                String name = object.getFileName().toString();
                if (name.equals(replaced + ".o")) {
                    command.add(by.toString());
                } else if (name.endsWith(".cu.o") || name.equals("shim.cpp.o")) {
                    command.add(object.toString());
                }
            }
        }
        Outcome outcome = run(command);
        assertThat(outcome.status()).as(outcome.text()).isZero();
        return program;
    }

    private static Outcome run(List<String> command) throws IOException, InterruptedException {
        Path text = Files.createTempFile(folder, "output", ".txt");
        Process process = new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(text.toFile()).start();
        try {
            assertThat(process.waitFor(5, TimeUnit.MINUTES)).as("%s ends", command).isTrue();
        } finally {
            process.destroyForcibly();
        }
        return new Outcome(process.exitValue(), Files.readString(text));
    }
}
