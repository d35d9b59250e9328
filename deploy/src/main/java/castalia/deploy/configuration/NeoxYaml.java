package castalia.deploy.configuration;

import castalia.deploy.configuration.YamlTree.NotYamlException;
import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.shell.Quantity;
import castalia.protocol.CastaliaException;
import castalia.protocol.checkpoint.MilestoneSchedule;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.TrainingPlan;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Reads GPT-NeoX YAML as published, with one optional block {@code castalia}. Each key is
 * honoured, harmless, bound to the one value that is implemented, or refused by name. Everything
 * that is wrong is reported together, in the order of the lines.
 */
public final class NeoxYaml {

    private final Findings findings;
    private final Settings top;
    private final Settings castalia;

    private NeoxYaml(Findings findings, Mapping root) {
        this.findings = findings;
        this.top = new Settings(findings, "", root);
        this.castalia = top.section("castalia")
                .orElseGet(() -> new Settings(
                        findings, "castalia: ", new Mapping(List.of(), root.line())));
    }

    /**
     * Reads a file.
     *
     * @param problems receives warnings, and errors before they are thrown
     * @throws castalia.protocol.specification.ProblemsException with all errors
     */
    public static TrainingConfiguration read(
            Path file, TokenizerSize tokenizerSize, Problems problems) {
        String name = file.toString();
        String text = "";
        try {
            if (Files.size(file) > YamlTree.LONGEST) {
                problems.error(name, "is longer than " + YamlTree.LONGEST + " bytes");
            } else {
                text = Files.readString(file, StandardCharsets.UTF_8);
            }
        } catch (NoSuchFileException e) {
            problems.error(name, "there is no such file");
        } catch (CharacterCodingException e) {
            problems.error(name, "is not UTF-8 text");
        } catch (IOException e) {
            problems.error(name, "cannot be read: " + e.getMessage());
        }
        problems.throwIfErrors();
        return parse(name, text, tokenizerSize, problems);
    }

    /**
     * Reads a text.
     *
     * @param name of the text in error messages
     * @param problems receives warnings, and errors before they are thrown
     * @throws castalia.protocol.specification.ProblemsException with all errors
     */
    public static TrainingConfiguration parse(
            String name, String text, TokenizerSize tokenizerSize, Problems problems) {
        Findings findings = new Findings(name);
        Optional<TrainingConfiguration> configuration = Optional.empty();
        try {
            configuration =
                    new NeoxYaml(findings, YamlTree.parse(text)).configuration(tokenizerSize);
        } catch (NotYamlException e) {
            findings.error(e.line(), "", String.valueOf(e.getMessage()));
        }
        findings.handOver(problems);
        problems.throwIfErrors();
        return configuration.orElseThrow();
    }

    private Optional<TrainingConfiguration> configuration(TokenizerSize tokenizerSize) {
        ModelReader models = new ModelReader(findings, top, castalia);
        PlanReader plans = new PlanReader(findings, top, castalia);
        Optional<ModelShape> model = models.shape(tokenizerSize);
        Optional<TrainingPlan> plan = plans.plan(model, models);
        DataSource data = data();
        boolean trusting = castalia.word("data-hash", "changed", List.of("changed", "always"))
                .equals("changed");
        Optional<MilestoneSchedule> milestones = milestones(plans.trainSteps());
        long evalInterval = positive("eval-interval", 1000);
        long evalIterations = positive("eval-iters", 100);
        long logInterval = positive("log-interval", 100);
        String again = recomputationWord();
        Recomputation recomputation = recomputation(again);
        EngineSettings engine = engine(again.equals("auto"));
        List<DataTransform> transforms =
                new TransformReader(castalia, plans.trainSteps(), top.has("vocab-file")).read();
        PlacementHints placement = placement(plan);
        Optional<String> save = top.text("save");
        Optional<String> load = top.text("load");
        Leftovers.judge(top);
        Leftovers.refuse(castalia);
        if (findings.errors() > 0) {
            return Optional.empty();
        }
        return Optional.of(new TrainingConfiguration(
                plan.orElseThrow(), data, trusting, top.text("vocab-file"), save, load,
                milestones.orElseThrow(), evalInterval, evalIterations, logInterval,
                recomputation, engine, transforms, placement));
    }

    private DataSource data() {
        boolean synthetic = castalia.flag("synthetic-data", false);
        Optional<String> path = top.text("data-path");
        String split = top.text("split").orElse("969, 30, 1");
        List<DataSource.Weighted> train = weighted("train");
        List<DataSource.Weighted> valid = weighted("valid");
        List<DataSource.Weighted> test = weighted("test");
        boolean shuffled = castalia.word("data-order", "neox", List.of("neox", "preshuffled"))
                .equals("preshuffled");
        boolean lists = !(train.isEmpty() && valid.isEmpty() && test.isEmpty());
        if (path.isPresent() && lists) {
            top.error("data-path",
                    "stands beside train-, valid- or test-data-paths; use one or the other");
        } else if (lists && train.isEmpty()) {
            top.error("train-data-paths", "is missing; add it");
        } else if (synthetic) {
            return new DataSource.Synthetic();
        } else if (shuffled) {
            return preshuffled(train, valid);
        } else if (lists) {
            return new DataSource.Files(train, valid, test);
        }
        return path.isPresent()
                ? new DataSource.Split(path.get(), split)
                : new DataSource.Unspecified();
    }

    private DataSource preshuffled(
            List<DataSource.Weighted> train, List<DataSource.Weighted> valid) {
        if (train.size() != 1 || valid.size() > 1) {
            castalia.error("data-order", "preshuffled needs exactly one path in train-data-paths"
                    + " and at most one in valid-data-paths");
            return new DataSource.Unspecified();
        }
        return new DataSource.Preshuffled(train.getFirst().path(),
                valid.stream().findFirst().map(DataSource.Weighted::path));
    }

    private List<DataSource.Weighted> weighted(String purpose) {
        List<String> paths = top.texts(purpose + "-data-paths");
        List<Double> weights = top.numbers(purpose + "-data-weights");
        if (!weights.isEmpty() && weights.size() != paths.size()) {
            top.error(purpose + "-data-weights",
                    "has " + weights.size() + " weights for " + paths.size() + " paths");
            return List.of();
        }
        List<DataSource.Weighted> weighted = new ArrayList<>();
        for (int i = 0; i < paths.size(); i++) {
            double weight = weights.isEmpty() ? 1 : weights.get(i);
            if (weight > 0) {
                weighted.add(new DataSource.Weighted(paths.get(i), weight));
            } else {
                top.error(purpose + "-data-weights", weight + " must exceed 0");
            }
        }
        return weighted;
    }

    private Optional<MilestoneSchedule> milestones(long steps) {
        long factor = top.longInteger("checkpoint-factor", 0);
        List<Long> extra = top.integers("extra-save-iters");
        if (steps < 1) {
            return Optional.empty(); // the plan reports it
        }
        try {
            return Optional.of(MilestoneSchedule.of(steps, factor, extra));
        } catch (IllegalArgumentException e) {
            top.error(factor < 0 ? "checkpoint-factor" : "extra-save-iters",
                    String.valueOf(e.getMessage()));
            return Optional.empty();
        }
    }

    private long positive(String key, long fallback) {
        long value = top.longInteger(key, fallback);
        if (value < 1) {
            top.error(key, value + " must be at least 1");
        }
        return value;
    }

    private EngineSettings engine(boolean fits) {
        boolean portable = castalia.word("products", "library", List.of("library", "portable"))
                .equals("portable");
        long memory = Long.MAX_VALUE;
        Optional<String> limit = castalia.text("memory-limit");
        if (limit.isPresent()) {
            try {
                memory = Quantity.bytes("memory-limit", limit.get());
            } catch (CastaliaException e) {
                castalia.error("memory-limit", String.valueOf(e.getMessage()));
            }
        }
        return new EngineSettings(portable, fits, memory);
    }

    private String recomputationWord() {
        boolean published = top.flag("checkpoint-activations", false);
        return castalia.word("recomputation", published ? "block" : "auto",
                List.of("auto", "none", "attention", "block"));
    }

    private static Recomputation recomputation(String word) {
        return switch (word) {
            case "block" -> Recomputation.BLOCK;
            case "attention" -> Recomputation.ATTENTION;
            default -> Recomputation.NONE;
        };
    }

    private PlacementHints placement(Optional<TrainingPlan> plan) {
        OptionalInt stage = OptionalInt.empty();
        Optional<Settings> zero = top.section("zero-optimization");
        if (zero.isPresent()) {
            Settings block = zero.get();
            stage = OptionalInt.of(block.integer("stage", 0));
            if (stage.getAsInt() < 0 || stage.getAsInt() > 3) {
                block.error("stage", stage.getAsInt() + " must lie between 0 and 3");
            }
            for (String offload : List.of("cpu-offload", "cpu-offload-params")) {
                if (block.flag(offload, false)) {
                    block.error(offload, "must be false: state stays with its rank");
                }
            }
            List.of("allgather-partitions", "allgather-bucket-size", "overlap-comm",
                    "reduce-scatter", "reduce-bucket-size", "contiguous-gradients",
                    "load-from-fp32-weights", "elastic-checkpoint", "round-robin-gradients",
                    "stage3-max-live-parameters", "stage3-max-reuse-distance",
                    "stage3-prefetch-bucket-size", "stage3-param-persistence-threshold",
                    "sub-group-size").forEach(block::has);
            Leftovers.refuse(block);
        }
        int modelParallel = plan.isPresent() ? top.integer("model-parallel-size", 1) : 1;
        LayoutRequest hints = new LayoutRequest(OptionalInt.empty(),
                modelParallel > 1 ? OptionalInt.of(modelParallel) : OptionalInt.empty(), stage,
                OptionalInt.empty());
        return new PlacementHints(optional("ranks"), optional("threads"), layout(plan), hints);
    }

    private LayoutRequest layout(Optional<TrainingPlan> plan) {
        LayoutRequest layout = new LayoutRequest(number(LayoutRequest.DATA_PARALLEL),
                number(LayoutRequest.TENSOR_PARALLEL), number(LayoutRequest.ZERO),
                number(LayoutRequest.BUDDIES));
        plan.ifPresent(of -> layout.problems(of.virtualRanks(), of.tensorSlices())
                .forEach(castalia::error));
        return layout;
    }

    private OptionalInt number(String key) {
        return castalia.has(key)
                ? OptionalInt.of(castalia.integer(key, 1)) : OptionalInt.empty();
    }

    private OptionalInt optional(String key) {
        if (!castalia.has(key)) {
            return OptionalInt.empty();
        }
        int value = castalia.integer(key, 1);
        if (value < 1) {
            castalia.error(key, value + " must be at least 1");
        }
        return OptionalInt.of(value);
    }
}
