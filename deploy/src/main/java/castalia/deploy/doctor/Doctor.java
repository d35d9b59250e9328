package castalia.deploy.doctor;

import castalia.deploy.doctor.CpuInfo.Vectors;
import castalia.deploy.shell.CastaliaHome;

import org.jspecify.annotations.Nullable;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Looks at everything Castalia needs of a machine. Takes about a second and leaves nothing behind.
 */
public final class Doctor {
    private static final int JDK = 25;
    private static final long MEMORY_NEEDED = 1L << 30;
    private static final long MEMORY_WANTED = 4L << 30;

    private Doctor() {}

    /**
     * All findings, in the order they are shown.
     *
     * @param runFolder a folder that is to hold runs, or null
     */
    public static List<Finding> examine(CastaliaHome home, @Nullable Path runFolder) {
        List<Finding> findings = new ArrayList<>();
        findings.add(jdk(Runtime.version().feature()));
        findings.add(system(System.getProperty("os.name"), System.getProperty("os.arch")));
        findings.add(processors());
        findings.add(memory());
        findings.add(StorageProbe.disk(home.folder()));
        findings.add(StorageProbe.executable(home.natives()));
        findings.add(
                StorageProbe.disk(Path.of(System.getProperty("java.io.tmpdir")))
                        .named("temporary folder"));
        findings.add(NetworkProbe.loopback());
        findings.add(NetworkProbe.unixSocket(home.temporary()));
        findings.add(CudaProbe.driver("libcuda.so.1"));
        if (runFolder != null) {
            findings.add(StorageProbe.hardLinks(runFolder.toAbsolutePath()));
        }
        return List.copyOf(findings);
    }

    static Finding jdk(int feature) {
        String value =
                System.getProperty("java.version")
                        + " ("
                        + System.getProperty("java.vendor")
                        + ") in "
                        + System.getProperty("java.home");
        if (feature == JDK) {
            return Finding.ok("JDK", value);
        }
        return Finding.warn("JDK", value, "Castalia is made and tested for JDK " + JDK);
    }

    static Finding system(String name, String architecture) {
        String value = name + " " + architecture;
        if (name.equals("Linux") && architecture.equals("amd64")) {
            return Finding.ok("system", value);
        }
        return Finding.fail("system", value, "the native libraries are for Linux on x86-64");
    }

    private static Finding processors() {
        CpuInfo info;
        try {
            info = CpuInfo.parse(Files.readString(Path.of("/proc/cpuinfo")));
        } catch (IOException e) {
            return Finding.warn(
                    "processors",
                    "cannot read /proc/cpuinfo: " + e.getMessage(),
                    "is /proc mounted?");
        }
        return processors(Runtime.getRuntime().availableProcessors(), info);
    }

    static Finding processors(int count, CpuInfo info) {
        String value = count + " usable, " + info.model() + ", " + info.vectors().label();
        if (info.vectors() == Vectors.NONE) {
            return Finding.warn("processors", value, "without AVX2 training is many times slower");
        }
        return Finding.ok("processors", value);
    }

    private static Finding memory() {
        try {
            return memory(MemoryInfo.read(Path.of("/")));
        } catch (IOException | NumberFormatException e) {
            return Finding.warn(
                    "memory", "cannot read /proc/meminfo: " + e.getMessage(), "is /proc mounted?");
        }
    }

    static Finding memory(MemoryInfo info) {
        String value =
                String.format(
                        Locale.ROOT,
                        "%s available of %s",
                        StorageProbe.gigabytes(info.availableBytes()),
                        StorageProbe.gigabytes(info.totalBytes()));
        if (info.limitBytes().isPresent()) {
            value +=
                    ", limited to "
                            + StorageProbe.gigabytes(info.limitBytes().getAsLong())
                            + " by its control group";
        }
        if (info.usableBytes() < MEMORY_NEEDED) {
            return Finding.fail("memory", value, "1 GB is the least for the smallest model");
        } else if (info.usableBytes() < MEMORY_WANTED) {
            return Finding.warn(
                    "memory", value, "enough for pythia-14m; 70m and larger need more than 4 GB");
        }
        return Finding.ok("memory", value);
    }
}
