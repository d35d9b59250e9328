package castalia.deploy.train;

import castalia.deploy.configuration.EngineSettings;
import castalia.deploy.configuration.NeoxYaml;
import castalia.deploy.configuration.TokenizerSize;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.deploy.shell.CastaliaHome;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.RunSpecification;
import castalia.workers.data.Tokenizer;
import castalia.workers.model.ModelPlan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What {@code train} was asked for, read and checked: configuration, data, specification.
 *
 * @param configuration the configuration, with the initial weights it was given
 * @param data opened data; belongs to the job
 * @param specification the run's identity
 * @param hosting ranks and threads
 * @param initial folder of initial weights
 * @param file the configuration file
 */
public record TrainingJob(
        TrainingConfiguration configuration,
        RunData data,
        RunSpecification specification,
        Hosting hosting,
        Optional<Path> initial,
        Path file)
        implements AutoCloseable {

    /** Name of the tokenizer's copy in a run folder. */
    public static final String TOKENIZER = "tokenizer.json";

    /** Name of the configuration's copy in a run folder. */
    public static final String CONFIGURATION = "configuration.yml";

    /**
     * Reads a configuration file and opens its data.
     *
     * @param ranks ranks asked for on the command line, which win over the file's
     * @param threads computing threads asked for, likewise
     * @param initial Hugging Face folder with the first weights
     */
    public static TrainingJob read(
            Path file,
            OptionalInt ranks,
            OptionalInt threads,
            Optional<Path> initial,
            CastaliaHome home) {
        return read(file, ranks, threads, initial, Path.of(""), home);
    }

    /**
     * As the other.
     *
     * @param working where relative paths of the configuration start
     */
    public static TrainingJob read(
            Path file,
            OptionalInt ranks,
            OptionalInt threads,
            Optional<Path> initial,
            Path working,
            CastaliaHome home) {
        Problems problems = new Problems();
        TrainingConfiguration read = NeoxYaml.read(file, tokenizerSize(working), problems);
        problems.warnings().forEach(w -> System.err.println("castalia: warning: " + w));
        TrainingConfiguration configuration = initial.isEmpty()
                ? read
                : startingFrom(read, RunCheckpoints.hashOf(initial.get()));
        Hosting hosting = hosting(configuration, ranks, threads);
        configuration = configuration.computingAgain(hosting.recomputation());
        RunData data = RunData.open(configuration, working, home);
        try {
            String version = numericVersion(hosting, home);
            RunSpecification specification =
                    configuration.specification(data.manifest(), version);
            return new TrainingJob(configuration, data, specification, hosting, initial, file);
        } catch (RuntimeException e) {
            data.close();
            throw e;
        }
    }

    private static TrainingConfiguration startingFrom(TrainingConfiguration c, String sha256) {
        return new TrainingConfiguration(
                c.plan().toBuilder()
                        .initialisation(new Initialisation.FromFolder(sha256)).build(),
                c.data(), c.trustsDataTimes(), c.tokenizer(), c.save(), c.load(), c.milestones(),
                c.evalInterval(), c.evalIterations(), c.logInterval(), c.recomputation(),
                c.engine(), c.transforms(), c.placement());
    }

    private static Hosting hosting(
            TrainingConfiguration configuration, OptionalInt ranks, OptionalInt threads) {
        int w = ranks.orElse(configuration.placement().ranks().orElse(1));
        int t = threads.orElse(configuration.placement().threads()
                .orElse(Runtime.getRuntime().availableProcessors()));
        try {
            EngineSettings engine = configuration.engine();
            Hosting wished = new Hosting(w, t, configuration.recomputation(), engine.portable(),
                    engine.memoryBytes()).onThisMachine();
            if (engine.portable() && DeviceChoice.ofProcess().cuda()) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "products: portable computes on the CPU; leave it out for --device cuda");
            }
            return engine.fits()
                    ? wished.computingAgain(MachineMemory.fitting(configuration.plan(), wished, 0))
                    : wished;
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    /**
     * What worker processes compute again: what the configuration says, or as little as fits.
     *
     * @param workers those of this machine together, which share its memory
     * @param earlyBytes most bytes of frames that each keeps
     */
    public Recomputation recomputation(int workers, long earlyBytes) {
        return configuration.engine().fits()
                ? MachineMemory.fitting(configuration.plan(), hosting.on(workers), earlyBytes)
                : configuration.recomputation();
    }

    /** The numeric version of this machine's device. */
    public static String numericVersion(Hosting hosting, CastaliaHome home) {
        try (Device device = Wiring.devices(hosting, home).apply(0)) {
            return ModelPlan.numericVersion(device);
        }
    }

    /** Asks the tokenizer file itself. */
    private static TokenizerSize tokenizerSize(Path working) {
        return file -> {
            if (file.isEmpty()) {
                return TokenizerSize.unknown().of(file);
            }
            try (Tokenizer tokenizer = Tokenizer.load(working.resolve(file.get()))) {
                return tokenizer.vocabularySize();
            }
        };
    }

    /** Opens the run in its folder, on as many ranks as this says. */
    public TrainingRun open(Path folder, CastaliaHome home, TrainingRun.Listener listener) {
        return open(folder, home, listener, OptionalInt.of(hosting.ranks()), LayoutRequest.NOTHING);
    }

    /**
     * Opens the run in its folder.
     *
     * @param ranks ranks that the command line names
     * @param layout what it names of their layout
     */
    public TrainingRun open(
            Path folder, CastaliaHome home, TrainingRun.Listener listener, OptionalInt ranks,
            LayoutRequest layout) {
        TrainingRun run = new TrainingRun(this, folder, home, listener, ranks, layout);
        try {
            keepInputs(folder);
        } catch (RuntimeException e) {
            run.close();
            throw e;
        }
        return run;
    }

    /**
     * Copies configuration and tokenizer into the run's folder, made if absent: for generate, export
     * and data view. A tokenizer that is there stays; the configuration is that of the last start.
     */
    public void keepInputs(Path folder) {
        Path copy = folder.resolve(CONFIGURATION);
        Path tokenizer = folder.resolve(TOKENIZER);
        keep("configuration", folder, () -> {
            Files.createDirectories(folder);
            if (!Files.exists(copy) || Files.mismatch(file, copy) >= 0) {
                copy(file, copy);
            }
        });
        if (configuration.tokenizer().isPresent() && !Files.exists(tokenizer)) {
            keep("tokenizer", folder,
                    () -> copy(Path.of(configuration.tokenizer().get()), tokenizer));
        }
    }

    /** Something that writes. */
    @FunctionalInterface
    private interface Copying {
        void run() throws IOException;
    }

    private static void keep(String what, Path folder, Copying copying) {
        try {
            copying.run();
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                    "cannot copy the " + what + " into " + folder + ": " + e.getMessage(), e);
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Path temporary = to.resolveSibling(to.getFileName() + ".tmp");
        try {
            Files.copy(from, temporary, StandardCopyOption.REPLACE_EXISTING);
            Files.move(temporary, to, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    @Override
    public void close() {
        data.close();
    }
}
