package castalia.deploy.train;

import castalia.deploy.configuration.DataSource;
import castalia.deploy.configuration.DataSource.Weighted;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.deploy.shell.CastaliaHome;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.data.BlendedSamples;
import castalia.workers.data.Blending;
import castalia.workers.data.DataException;
import castalia.workers.data.DigestStore;
import castalia.workers.data.OrderPlan;
import castalia.workers.data.OrderStore;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.SampleReader;
import castalia.workers.data.Samples;
import castalia.workers.data.ShuffledSamples;
import castalia.workers.data.Splits;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.data.TokenBatches;
import castalia.workers.data.TokenFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/** The data of a run, opened and checked: what it trains on, validates on and tests on. */
public final class RunData implements AutoCloseable {

    /** What samples are for. */
    public enum Part {
        TRAIN,
        VALID,
        TEST
    }

    private final TrainingPlan plan;
    private final Map<Part, Long> sequences;
    private final CastaliaHome home;
    private final boolean trusting;
    private final Path working;
    private final List<TokenFile> files = new ArrayList<>();
    private final Map<Part, BatchSource> sources = new EnumMap<>(Part.class);
    private final Map<Part, Samples> samples = new EnumMap<>(Part.class);
    private Optional<RunTransforms> transforms = Optional.empty();

    private RunData(TrainingConfiguration configuration, Path working, CastaliaHome home) {
        this.plan = configuration.plan();
        this.working = working;
        this.home = home;
        this.trusting = configuration.trustsDataTimes();
        int batch = plan.globalBatch();
        this.sequences = Map.of(
                Part.TRAIN, Splits.trainSequences(plan.trainSteps(), batch),
                Part.VALID, Splits.validSequences(plan.trainSteps(),
                        configuration.evalInterval(), configuration.evalIterations(), batch),
                Part.TEST, Math.multiplyExact(configuration.evalIterations(), (long) batch));
    }

    /**
     * Opens what a configuration names for training and validation.
     *
     * @param working where relative paths start
     * @throws castalia.workers.data.DataException if a file is missing or damaged
     */
    public static RunData open(
            TrainingConfiguration configuration, Path working, CastaliaHome home) {
        return open(configuration, working, home, EnumSet.of(Part.TRAIN, Part.VALID));
    }

    /** As the other, for some of the parts. */
    public static RunData open(TrainingConfiguration configuration, Path working,
            CastaliaHome home, Set<Part> wanted) {
        RunData data = new RunData(configuration, working, home);
        try {
            for (Part part : Part.values()) {
                if (wanted.contains(part)) {
                    data.source(configuration.data(), part)
                            .ifPresent(source -> data.sources.put(part, source));
                }
            }
            data.transform(configuration);
            return data;
        } catch (RuntimeException e) {
            data.close();
            throw e;
        }
    }

    /** Only what a run trains on is changed. */
    private void transform(TrainingConfiguration configuration) {
        BatchSource train = sources.get(Part.TRAIN);
        if (train != null) {
            RunTransforms opened = RunTransforms.open(configuration, working);
            transforms = Optional.of(opened);
            sources.put(Part.TRAIN, opened.over(train));
        }
    }

    private Optional<BatchSource> source(DataSource source, Part part) {
        return switch (source) {
            case DataSource.Synthetic() -> part == Part.TRAIN
                    ? Optional.of(new SyntheticBatches(
                            shape(), plan.model().vocabulary(), plan.seed()))
                    : Optional.empty();
            case DataSource.Files(var train, var valid, var test) -> blend(part, switch (part) {
                case TRAIN -> train;
                case VALID -> valid;
                case TEST -> test;
            }).map(found -> batches(part, found));
            case DataSource.Split(String path, String split) ->
                    split(part, path, split).map(found -> batches(part, found));
            case DataSource.Preshuffled(String train, Optional<String> valid) -> switch (part) {
                case TRAIN -> Optional.of(batches(part, preshuffled(train, part)));
                case VALID -> valid.map(path -> batches(part, preshuffled(path, part)));
                case TEST -> Optional.empty();
            };
            case DataSource.Unspecified() -> throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "the configuration names no data; add "
                            + "train-data-paths, data-path, or castalia: synthetic-data");
        };
    }

    /** Data sets given by path: each is asked for its share and half a percent more. */
    private Optional<Samples> blend(Part part, List<Weighted> paths) {
        if (paths.isEmpty()) {
            return Optional.empty();
        }
        long wanted = sequences(part);
        double[] weights = paths.stream().mapToDouble(Weighted::weight).toArray();
        double[] shares = Blending.shares(weights);
        List<SampleReader> sets = new ArrayList<>();
        for (int i = 0; i < shares.length; i++) {
            TokenFile file = file(paths.get(i).path());
            sets.add(reader(file, 0, file.sequences(), Splits.requested(wanted, shares[i])));
        }
        return Optional.of(sets.size() == 1
                ? sets.getFirst()
                : new BlendedSamples(sets, weights, wanted));
    }

    private Optional<Samples> split(Part part, String path, String split) {
        TokenFile file = file(path);
        Splits.Parts parts = Splits.parse(split, file.sequences());
        long from = switch (part) {
            case TRAIN -> 0;
            case VALID -> parts.valid();
            case TEST -> parts.test();
        };
        long to = switch (part) {
            case TRAIN -> parts.valid();
            case VALID -> parts.test();
            case TEST -> parts.end();
        };
        if (to <= from && part != Part.TRAIN) {
            return Optional.empty();
        }
        return Optional.of(reader(file, from, to, splitRequest(file, from, to, part)));
    }

    /**
     * GPT-NeoX asks a part of a split for the sequences themselves. The specifications of runs
     * record half a percent more, which is the same order unless it takes an epoch more.
     */
    private long splitRequest(TokenFile file, long from, long to, Part part) {
        long exact = sequences(part);
        long recorded = Splits.requested(exact, 1);
        return epochs(file, from, to, recorded) == epochs(file, from, to, exact)
                ? recorded
                : exact;
    }

    private long epochs(TokenFile file, long from, long to, long samples) {
        return OrderPlan.of(file, request(from, to, samples)).epochs();
    }

    private Samples preshuffled(String path, Part part) {
        ShuffledSamples samples = new ShuffledSamples(file(path), plan.sequence());
        long needed = part == Part.TRAIN
                ? sequences(part)
                : Math.min(sequences(part), sequences(Part.TEST));
        if (samples.length() < needed) {
            throw new DataException(working.resolve(path) + ": the pre-shuffled file holds "
                    + samples.length() + " samples, the run needs " + needed
                    + "; use fewer steps or a longer file");
        }
        return samples;
    }

    private long sequences(Part part) {
        return Objects.requireNonNull(sequences.get(part));
    }

    private TokenFile file(String path) {
        Path prefix = working.resolve(path);
        TokenFile file = TokenFile.open(prefix, new DigestStore(caches(prefix), trusting,
                WorkProgress.onError("SHA-256 of " + prefix)));
        files.add(file);
        return file;
    }

    private List<Path> caches(Path prefix) {
        return List.of(OrderStore.beside(prefix), home.dataCache());
    }

    private SampleOrder.Request request(long from, long to, long samples) {
        return new SampleOrder.Request(from, to, plan.sequence(), samples, plan.seed());
    }

    private SampleReader reader(TokenFile file, long from, long to, long samples) {
        try (WorkProgress progress = WorkProgress.onError("sample order of " + file.name())) {
            OrderStore store = new OrderStore(
                    caches(file.prefix()), progress,
                    note -> System.err.println("castalia: " + note));
            return new SampleReader(file, store.order(file, request(from, to, samples)));
        }
    }

    private BatchShape shape() {
        return Wiring.batches(plan);
    }

    private BatchSource batches(Part part, Samples found) {
        samples.put(part, found);
        return new TokenBatches(found, shape(), plan.model().vocabulary());
    }

    /** What the run trains on. */
    public BatchSource train() {
        return source(Part.TRAIN).orElseThrow();
    }

    /** What it validates on, if anything. */
    public Optional<BatchSource> valid() {
        return source(Part.VALID);
    }

    /** What was opened for a purpose, if there is anything. */
    public Optional<BatchSource> source(Part part) {
        return Optional.ofNullable(sources.get(part));
    }

    /** Global batches of a part: the run's steps, or those of its validations. */
    public long batches(Part part) {
        return sequences(part) / plan.globalBatch();
    }

    /** What the batches of a part are cut from; empty for made-up tokens. */
    public Optional<Samples> samples(Part part) {
        return Optional.ofNullable(samples.get(part));
    }

    /** What the data is, for the specification: reads the files whole to hash them. */
    public DataManifest manifest() {
        List<DataManifest.Entry> entries = new ArrayList<>();
        for (String line : train().description()) {
            int equals = line.indexOf('=');
            entries.add(new DataManifest.Entry(
                    line.substring(0, equals), line.substring(equals + 1)));
        }
        return new DataManifest(entries);
    }

    @Override
    public void close() {
        transforms.ifPresent(RunTransforms::close);
        files.forEach(TokenFile::close);
    }
}
