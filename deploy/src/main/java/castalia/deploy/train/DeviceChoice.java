package castalia.deploy.train;

import castalia.deploy.shell.CastaliaHome;
import castalia.kernels.Device;
import castalia.kernels.DeviceGroup;
import castalia.kernels.DeviceGroups;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.PeerMemory;
import castalia.kernels.Repetition;
import castalia.kernels.cuda.CudaDevice;
import castalia.kernels.cuda.CudaSettings;
import castalia.kernels.cuda.CudaUnavailableException;
import castalia.kernels.cuda.Gpu;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.specification.HeadSweep;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Which back end computes: {@code cpu}, {@code cuda} (every rank of a machine the next GPU in turn)
 * or {@code cuda:N}. It holds for a process and the workers it starts; what cannot be had is an
 * error, never another device.
 *
 * @param cuda whether it is a GPU
 * @param ordinal its number, where one was named
 */
public record DeviceChoice(boolean cuda, OptionalInt ordinal) {

    /** Property of the choice. */
    public static final String DEVICE = "castalia.device";

    /** Folders of the CUDA toolkit's libraries, separated by colons. */
    private static final String LIBRARY_PATH = "castalia.gpu.library-path";

    /** The driver library, for machines that keep it elsewhere. */
    private static final String DRIVER = "castalia.gpu.driver";

    /** {@code false}: devices of processes do not read each other's memory, whether they could or not. */
    private static final String PEER_MEMORY = "castalia.gpu.peer-memory";

    /**
     * Whether NCCL brings weights to the ranks that lack them: {@code auto}, where it is installed and
     * ranks are on several machines; {@code on}, wherever no two ranks share a GPU; {@code off}.
     */
    private static final String NCCL = "castalia.gpu.nccl";

    /** Whether passes are recorded as CUDA graphs: auto (of small models), on or off. */
    private static final String GRAPHS = "castalia.gpu.graphs";

    /** What worker processes are given, too. */
    private static final List<String> PROPERTIES =
            List.of(DEVICE, LIBRARY_PATH, DRIVER, PEER_MEMORY, NCCL, GRAPHS);

    private static final @Nullable String AT_START = System.getProperty(DEVICE);

    private static final String CPU = "cpu";
    private static final String CUDA = "cuda";

    /** Makes a choice for this process; an empty one is that of the Java option, else the CPU. */
    public static void choose(String device) {
        if (!device.isEmpty()) {
            of(device);
            System.setProperty(DEVICE, device);
        } else if (AT_START == null) {
            System.clearProperty(DEVICE);
        } else {
            System.setProperty(DEVICE, AT_START);
        }
    }

    /** This process's choice. */
    public static DeviceChoice ofProcess() {
        return of(System.getProperty(DEVICE, CPU));
    }

    /** Java options that give a child the same choice. */
    public static List<String> options() {
        return PROPERTIES.stream().filter(name -> System.getProperty(name) != null)
                .map(name -> "-D" + name + "=" + System.getProperty(name)).toList();
    }

    /** As it is chosen. */
    public String name() {
        return !cuda ? CPU : ordinal.isPresent() ? CUDA + ":" + ordinal.getAsInt() : CUDA;
    }

    private static DeviceChoice of(String device) {
        if (device.equals(CPU)) {
            return new DeviceChoice(false, OptionalInt.empty());
        }
        if (device.equals(CUDA)) {
            return new DeviceChoice(true, OptionalInt.empty());
        }
        if (device.matches(CUDA + ":\\d{1,4}")) {
            return new DeviceChoice(true,
                    OptionalInt.of(Integer.parseInt(device.substring(CUDA.length() + 1))));
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                "--device " + device + " must be cpu, cuda or cuda:N");
    }

    /**
     * GPUs for ranks by number.
     *
     * @param sharers ranks of this machine
     * @param mostBytes most memory of a rank, whatever the GPU has
     * @throws CastaliaException if a GPU cannot be used, saying why
     */
    IntFunction<Device> gpus(int sharers, long mostBytes, CastaliaHome home) {
        String driver = driver();
        String natives = home.natives().toString();
        List<Gpu> gpus = attempt(() -> Gpu.all(driver, natives));
        String libraries = libraryPath();
        Repetition graphs = graphs();
        return rank -> {
            int number = ordinal.orElse(rank % gpus.size());
            long memory = number < gpus.size() ? gpus.get(number).memoryBytes() : 1;
            long limit = Math.min(mostBytes, GpuMemory.limit(memory, together(sharers, gpus)));
            CudaSettings settings =
                    new CudaSettings(number, driver, libraries, natives, limit, graphs);
            return attempt(() -> new Chosen(new CudaDevice(settings), settings));
        };
    }

    /** Ranks on one GPU, of {@code sharers} on this machine. */
    private int together(int sharers, List<Gpu> gpus) {
        return ordinal.isPresent() ? sharers : (sharers + gpus.size() - 1) / gpus.size();
    }

    /**
     * Memory of GPUs for tensors of all ranks of this machine, in equal parts; nothing is allocated to
     * find out.
     *
     * @throws CastaliaException if there is no such GPU, saying why
     */
    long usableBytes(int ranks, CastaliaHome home) {
        List<Gpu> gpus = all(home);
        if (ordinal.isPresent() && ordinal.getAsInt() >= gpus.size()) {
            gpus(1, Long.MAX_VALUE, home).apply(0).close(); // says so
        }
        int together = together(ranks, gpus);
        long least = gpus.stream()
                .filter(gpu -> ordinal.isEmpty() || gpu.ordinal() == ordinal.getAsInt())
                .mapToLong(gpu -> GpuMemory.forTensors(gpu.memoryBytes(), together))
                .min().orElse(0);
        return ranks * least;
    }

    /** A GPU that exchanges memory with others in the ways that were chosen. */
    private static final class Chosen extends ForwardingDevice {

        private final boolean peers;
        private final String nccl;

        Chosen(CudaDevice device, CudaSettings settings) {
            super(device);
            try {
                peers = word(PEER_MEMORY, "true", "false").equals("true");
                nccl = word(NCCL, "auto", "on", "off");
                String why = CudaDevice.whyNoGroups(settings);
                if (nccl.equals("on") && !why.isEmpty()) {
                    throw new CudaUnavailableException(NCCL + "=on, but " + why);
                }
            } catch (RuntimeException e) {
                device.close();
                throw e;
            }
        }

        @Override
        public Optional<PeerMemory> peerMemory() {
            return peers ? super.peerMemory() : Optional.empty();
        }

        @Override
        public Optional<DeviceGroups> groups() {
            return nccl.equals("off") ? Optional.empty()
                    : nccl.equals("on") ? super.groups().map(Wanted::new) : super.groups();
        }
    }

    /** Groups of devices on one machine, too. */
    private record Wanted(DeviceGroups groups) implements DeviceGroups {

        @Override
        public boolean wanted() {
            return true;
        }

        @Override
        public String identity() {
            return groups.identity();
        }

        @Override
        public Optional<byte[]> invitation() {
            return groups.invitation();
        }

        @Override
        public Optional<DeviceGroup> join(
                byte[] invitation, int ranks, int rank, BooleanSupplier goOn) {
            return groups.join(invitation, ranks, rank, goOn);
        }

        @Override
        public void giveUp() {
            groups.giveUp();
        }
    }

    /** The GPUs of this machine. */
    public static List<Gpu> all(CastaliaHome home) {
        return attempt(() -> Gpu.all(driver(), home.natives().toString()));
    }

    private interface Attempt<T> {
        T make();
    }

    private static <T> T attempt(Attempt<T> attempt) {
        try {
            return attempt.make();
        } catch (CudaUnavailableException e) {
            throw CastaliaException.of(ErrorCode.UNSUPPORTED, e);
        }
    }

    private static String driver() {
        return System.getProperty(DRIVER, CudaSettings.DRIVER);
    }

    /** How such a device sweeps the head's rows. */
    public HeadSweep head() {
        return cuda ? HeadSweep.OF_GPU : HeadSweep.OF_CPU;
    }

    /** A property's value, which is one of some words; the first where it is not set. */
    private static String word(String property, String... words) {
        String named = System.getProperty(property, words[0]);
        if (!List.of(words).contains(named)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, property + "=" + named
                    + " must be " + String.join(" or ", words));
        }
        return named;
    }

    private static Repetition graphs() {
        return Repetition.valueOf(word(GRAPHS, "auto", "on", "off").toUpperCase(Locale.ROOT));
    }

    /** What was named, else where toolkits and Python packages put their libraries. */
    private static String libraryPath() {
        String named = System.getProperty(LIBRARY_PATH);
        if (named != null) {
            return named;
        }
        List<String> folders = new ArrayList<>(List.of(""));
        Stream.of(System.getenv("CUDA_HOME"), "/usr/local/cuda").filter(f -> f != null)
                .flatMap(f -> Stream.of(f + "/lib64", f + "/targets/x86_64-linux/lib"))
                .filter(DeviceChoice::hasLibrary).forEach(folders::add);
        Stream.of(System.getProperty("user.home") + "/.local", "/usr/local", "/usr",
                        System.getenv("VIRTUAL_ENV"))
                .filter(prefix -> prefix != null)
                .forEach(prefix -> pythonFolders(Path.of(prefix, "lib"), folders));
        return String.join(":", folders);
    }

    private static void pythonFolders(Path prefix, List<String> folders) {
        try (var versions = Files.newDirectoryStream(prefix, "python3*")) {
            for (Path version : versions) {
                for (String packages : List.of("site-packages", "dist-packages")) {
                    Stream.of("cu13/lib", "cublas/lib", "nccl/lib")
                            .map(end -> version.resolve(packages).resolve("nvidia").resolve(end))
                            .map(Path::toString).filter(DeviceChoice::hasLibrary)
                            .forEach(folders::add);
                }
            }
        } catch (java.io.IOException _) {
            // No such folder: nothing to look through.
        }
    }

    private static boolean hasLibrary(String folder) {
        return Files.exists(Path.of(folder, "libcublasLt.so.13"))
                || Files.exists(Path.of(folder, "libcublasLt.so.12"))
                || Files.exists(Path.of(folder, "libnccl.so.2"));
    }
}
