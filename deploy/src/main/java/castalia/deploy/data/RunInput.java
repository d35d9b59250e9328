package castalia.deploy.data;

import castalia.deploy.configuration.NeoxYaml;
import castalia.deploy.configuration.TokenizerSize;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.RunData;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.specification.Problems;
import castalia.workers.data.Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Optional;

/**
 * What a run reads, without its weights: from its folder or its configuration file.
 *
 * @param configuration what the file says
 * @param data the part that was asked for, opened as training opens it
 * @param tokenizer the tokenizer's file, if the configuration or the folder has one
 */
public record RunInput(
        TrainingConfiguration configuration, RunData data, Optional<Path> tokenizer)
        implements AutoCloseable {

    /**
     * Opens a part of a run's data. Relative paths start in the current folder, as for train.
     *
     * @param runOrConfiguration a run's folder, or a configuration file
     */
    public static RunInput open(Path runOrConfiguration, RunData.Part part, CastaliaHome home) {
        boolean folder = Files.isDirectory(runOrConfiguration);
        Path file = folder
                ? runOrConfiguration.resolve(TrainingJob.CONFIGURATION)
                : runOrConfiguration;
        if (folder && !Files.exists(file)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, runOrConfiguration + " holds no "
                    + TrainingJob.CONFIGURATION + ": it is no run, or one of an earlier version;"
                    + " name the configuration file instead");
        }
        TrainingConfiguration configuration =
                NeoxYaml.read(file, sizeOf(runOrConfiguration), new Problems());
        RunData data = RunData.open(configuration, Path.of(""), home, EnumSet.of(part));
        if (data.source(part).isEmpty()) {
            data.close();
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, file + " names no "
                    + part.name().toLowerCase(Locale.ROOT) + " data");
        }
        return new RunInput(configuration, data,
                tokenizer(runOrConfiguration, configuration.tokenizer()));
    }

    private static Optional<Path> tokenizer(Path runOrConfiguration, Optional<String> named) {
        Path kept = runOrConfiguration.resolve(TrainingJob.TOKENIZER);
        return Files.isRegularFile(kept) ? Optional.of(kept) : named.map(Path::of);
    }

    private static TokenizerSize sizeOf(Path runOrConfiguration) {
        return file -> {
            Optional<Path> path = tokenizer(runOrConfiguration, file);
            if (path.isEmpty()) {
                return TokenizerSize.unknown().of(file);
            }
            try (Tokenizer tokenizer = Tokenizer.load(path.get())) {
                return tokenizer.vocabularySize();
            }
        };
    }

    /**
     * Loads the tokenizer.
     *
     * @param given a file that wins over the run's
     */
    public Tokenizer loadTokenizer(Optional<Path> given) {
        Path file = given.or(() -> tokenizer).orElseThrow(() -> new CastaliaException(
                ErrorCode.CONFIG_INVALID,
                "the configuration names no vocab-file; give --tokenizer tokenizer.json"));
        return Tokenizer.load(file);
    }

    @Override
    public void close() {
        data.close();
    }
}
