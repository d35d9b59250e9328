package castalia.deploy.train;

import castalia.deploy.configuration.DataSource;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.SampleReader;
import castalia.workers.data.Splits;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.data.TokenBatches;
import castalia.workers.data.TokenFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The data of a run, opened and checked: what it trains on and what it validates on. */
public final class RunData implements AutoCloseable {

    private final BatchSource train;
    private final Optional<BatchSource> valid;
    private final List<TokenFile> files;

    private RunData(BatchSource train, Optional<BatchSource> valid, List<TokenFile> files) {
        this.train = train;
        this.valid = valid;
        this.files = files;
    }

    /**
     * Opens what a configuration names.
     *
     * @param working where relative paths start
     * @throws castalia.workers.data.DataException if a file is missing or damaged
     */
    public static RunData open(TrainingConfiguration configuration, Path working) {
        TrainingPlan plan = configuration.plan();
        BatchShape shape = Wiring.batches(plan);
        long trainSamples = Splits.requested(
                Splits.trainSequences(plan.trainSteps(), plan.globalBatch()), 1);
        long validSamples = Splits.requested(
                Splits.validSequences(plan.trainSteps(), configuration.evalInterval(),
                        configuration.evalIterations(), plan.globalBatch()),
                1);
        List<TokenFile> files = new ArrayList<>();
        try {
            return switch (configuration.data()) {
                case DataSource.Synthetic() -> new RunData(
                        new SyntheticBatches(shape, plan.model().vocabulary(), plan.seed()),
                        Optional.empty(), files);
                case DataSource.Files(var trainFiles, var validFiles, _) -> {
                    TokenFile file = open(only("train-data-paths", trainFiles), working, files);
                    BatchSource train =
                            batches(file, 0, file.sequences(), trainSamples, plan, shape);
                    Optional<BatchSource> valid = Optional.empty();
                    if (!validFiles.isEmpty()) {
                        TokenFile other = open(only("valid-data-paths", validFiles), working, files);
                        valid = Optional.of(
                                batches(other, 0, other.sequences(), validSamples, plan, shape));
                    }
                    yield new RunData(train, valid, files);
                }
                case DataSource.Split(String path, String split) -> {
                    TokenFile file = open(path, working, files);
                    Splits.Parts parts = Splits.parse(split, file.sequences());
                    BatchSource train = batches(file, 0, parts.valid(), trainSamples, plan, shape);
                    Optional<BatchSource> valid = parts.test() > parts.valid()
                            ? Optional.of(batches(file, parts.valid(), parts.test(), validSamples,
                                    plan, shape))
                            : Optional.empty();
                    yield new RunData(train, valid, files);
                }
                case DataSource.Unspecified() -> throw new CastaliaException(
                        ErrorCode.CONFIG_INVALID, "the configuration names no data; add "
                                + "train-data-paths, data-path, or castalia: synthetic-data");
            };
        } catch (RuntimeException e) {
            files.forEach(TokenFile::close);
            throw e;
        }
    }

    private static String only(String key, List<DataSource.Weighted> paths) {
        if (paths.size() != 1) {
            throw new CastaliaException(ErrorCode.UNSUPPORTED, key + " names " + paths.size()
                    + " data sets; this version trains on one");
        }
        return paths.getFirst().path();
    }

    private static TokenFile open(String path, Path working, List<TokenFile> files) {
        TokenFile file = TokenFile.open(working.resolve(path));
        files.add(file);
        return file;
    }

    private static BatchSource batches(
            TokenFile file, long from, long to, long samples, TrainingPlan plan,
            BatchShape shape) {
        SampleOrder order = SampleOrder.build(file,
                new SampleOrder.Request(from, to, plan.sequence(), samples, plan.seed()));
        return new TokenBatches(
                new SampleReader(file, order), shape, plan.model().vocabulary());
    }

    /** What the run trains on. */
    public BatchSource train() {
        return train;
    }

    /** What it validates on, if anything. */
    public Optional<BatchSource> valid() {
        return valid;
    }

    /** What the data is, for the specification: reads the files whole to hash them. */
    public DataManifest manifest() {
        List<DataManifest.Entry> entries = new ArrayList<>();
        for (String line : train.description()) {
            int equals = line.indexOf('=');
            entries.add(new DataManifest.Entry(
                    line.substring(0, equals), line.substring(equals + 1)));
        }
        return new DataManifest(entries);
    }

    @Override
    public void close() {
        files.forEach(TokenFile::close);
    }
}
