package castalia.deploy.command;

import castalia.deploy.data.RowWriter;
import castalia.deploy.data.RunInput;
import castalia.deploy.data.StepRows;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.RunData;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.BatchSource;
import castalia.workers.data.NeoxSampler;
import castalia.workers.data.Samples;
import castalia.workers.data.TokenTransform;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.TransformedBatches;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data view}: what a step reads. */
@Command(
        name = "view",
        description = {
            "Show exactly what a step of a run reads, through the reader that training uses: each row",
            "has the S inputs and the last label. Step 0 is the first; checkpoint N has seen steps",
            "0 to N - 1. Relative paths of the configuration start in the current folder."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data view runs/70m --step 1000 --rows 0:4 --decode --source",
            "  ./castalia data view 70m.yml --step 0 --out step0.npy"
        })
final class DataViewCommand implements Callable<Integer> {
    private static final Pattern RANGE = Pattern.compile("(\\d{1,9}):(\\d{1,9})");

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Parameters(paramLabel = "RUN_OR_CONFIG",
            description = "A run's folder, or a configuration file.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path run;

    @Option(names = "--step", required = true, paramLabel = "N", description = "The step, from 0.")
    private long step;

    @Option(names = "--rows", paramLabel = "A:B",
            description = "Rows A to B - 1 of the global batch (default: all).")
    private @Nullable String rows;

    @Option(names = "--part", paramLabel = "PART",
            description = "train (default), valid or test: then N is the batch of a validation.")
    private String part = "train";

    @Option(names = "--decode", description = "Show text beside the tokens.")
    private boolean decode;

    @Option(names = "--untransformed",
            description = "Show the data as it is, before the transforms of the configuration.")
    private boolean untransformed;

    @Option(names = "--tokenizer", paramLabel = "FILE",
            description = "tokenizer.json for --decode (default: the run's).")
    private @Nullable Path tokenizerFile;

    @Option(names = "--source", description = "Show which tokens of which documents a row is.")
    private boolean source;

    @Option(names = "--neox-ranks", paramLabel = "DP",
            description = "Show which of DP data-parallel ranks of GPT-NeoX would read a row.")
    private @Nullable Integer neoxRanks;

    @Option(names = "--out", paramLabel = "FILE",
            description = "Write rows instead: .npy (int32) or .jsonl.")
    private @Nullable Path outFile;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        RunData.Part wanted = part(part);
        try (RunInput input = RunInput.open(run, wanted, CastaliaHome.ofProcess())) {
            BatchSource read = input.data().source(wanted).orElseThrow();
            BatchSource batches = untransformed ? read.untransformed() : read;
            long steps = input.data().batches(wanted);
            if (step < 0 || step >= steps) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--step " + step + ": the "
                        + part + " data of the run has steps 0 to " + (steps - 1));
            }
            int[] range = range(batches.shape().globalBatch());
            Optional<Samples> samples = input.data().samples(wanted);
            Optional<Tokenizer> tokenizer = decode
                    ? Optional.of(input.loadTokenizer(Optional.ofNullable(tokenizerFile)))
                    : Optional.empty();
            List<Map<String, Object>> shown;
            try {
                shown = show(out, batches, samples, tokenizer, range[0], range[1]);
            } finally {
                tokenizer.ifPresent(Tokenizer::close);
            }
            json.printLast(out, new Report(step,
                    step * batches.shape().globalBatch() + range[0], range[1] - range[0], shown));
            out.flush();
        }
        return 0;
    }

    /** A part by its name on the command line. */
    static RunData.Part part(String name) {
        return switch (name) {
            case "train" -> RunData.Part.TRAIN;
            case "valid" -> RunData.Part.VALID;
            case "test" -> RunData.Part.TEST;
            default -> throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--part " + name + " is none of train, valid, test");
        };
    }

    private int[] range(int all) {
        if (rows == null) {
            return new int[] {0, all};
        }
        Matcher range = RANGE.matcher(rows);
        if (range.matches()) {
            int first = Integer.parseInt(range.group(1));
            int end = Integer.parseInt(range.group(2));
            if (first < end && end <= all) {
                return new int[] {first, end};
            }
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--rows " + rows
                + ": write A:B with A < B, for rows A to B - 1 of the " + all + " of a step");
    }

    /** The last line of {@code --json}; {@code rows} are empty where they went to a file. */
    private record Report(
            long step, long first_index, int row_count, List<Map<String, Object>> rows) {}

    private List<Map<String, Object>> show(PrintWriter out, BatchSource batches, Optional<Samples> samples,
            Optional<Tokenizer> tokenizer, int first, int end) {
        int width = batches.shape().sequenceLength() + 1;
        Optional<NeoxSampler> neox = neox(batches);
        List<Map<String, Object>> shown = new ArrayList<>();
        try (StepRows reader = new StepRows(batches);
                StepRows data = new StepRows(batches.untransformed());
                RowWriter writer =
                        outFile == null ? null : new RowWriter(outFile, end - first, width)) {
            int[] tokens = new int[width];
            for (int row = first; row < end; row++) {
                reader.read(step, row, tokens);
                Map<String, Object> line = line(
                        reader, data, batches, samples, tokenizer, neox, row, tokens);
                if (writer == null) {
                    print(out, line);
                    if (json.wanted()) {
                        shown.add(line);
                    }
                } else {
                    writer.row(tokens, line);
                }
            }
            if (writer != null) {
                writer.finish();
                out.printf(Locale.ROOT, "%d rows of %d tokens written to %s%n",
                        end - first, width, outFile);
            }
        }
        return shown;
    }

    private Map<String, Object> line(StepRows reader, StepRows data, BatchSource batches,
            Optional<Samples> samples, Optional<Tokenizer> tokenizer, Optional<NeoxSampler> neox,
            int row, int[] tokens) {
        Map<String, Object> line = new LinkedHashMap<>();
        long index = step * batches.shape().globalBatch() + row;
        line.put("step", step);
        line.put("row", row);
        line.put("index", index);
        line.put("virtual_rank", reader.virtualRank(row));
        line.put("micro_batch", reader.microBatch(row));
        neox.ifPresent(sampler -> {
            line.put("neox_rank", sampler.rankOf(row));
            line.put("neox_micro_batch", sampler.microBatchOf(row));
        });
        if (batches instanceof TransformedBatches transformed) {
            int[] asItIs = new int[tokens.length];
            data.read(step, row, asItIs);
            line.put("transforms", transformed.explain(step, asItIs));
        }
        line.put("tokens", tokens.clone());
        tokenizer.ifPresent(t -> line.put("text", t.decode(tokens)));
        if (source) {
            List<Samples.Piece> pieces = new ArrayList<>();
            samples.ifPresent(s -> pieces.addAll(s.pieces(index)));
            line.put("source", pieces);
        }
        return line;
    }

    private void print(PrintWriter out, Map<String, Object> line) {
        out.println(line.entrySet().stream()
                .filter(fact -> fact.getValue() instanceof Number)
                .map(fact -> fact.getKey().replace('_', ' ') + " " + fact.getValue())
                .collect(Collectors.joining("  ")));
        if (line.get("source") instanceof List<?> pieces) {
            for (Object one : pieces) {
                if (one instanceof Samples.Piece piece) {
                    out.printf(Locale.ROOT, "  from %s document %d, tokens %d to %d%n", piece.file(),
                            piece.sequence(), piece.offset(), piece.offset() + piece.count() - 1);
                }
            }
        }
        if (line.get("transforms") instanceof List<?> effects) {
            for (Object one : effects) {
                if (one instanceof TokenTransform.Effect effect) {
                    out.printf(Locale.ROOT, "  transform %s: %d replaced, %d cut off, %d of padding%s%n",
                            effect.kind(), effect.replaced(), effect.cut(), effect.padding(),
                            effect.padding() > 0 ? ", which count in the loss" : "");
                }
            }
        }
        if (line.get("tokens") instanceof int[] tokens) {
            out.println("  tokens " + Arrays.stream(tokens).mapToObj(Integer::toString)
                    .collect(Collectors.joining(" ")));
        }
        if (line.get("text") instanceof String text) {
            out.println("  text " + JsonOption.line(text));
        }
    }

    private Optional<NeoxSampler> neox(BatchSource batches) {
        if (neoxRanks == null) {
            return Optional.empty();
        }
        int micro = batches.shape().microBatch();
        int batch = batches.shape().globalBatch();
        if (neoxRanks < 1 || batch % ((long) micro * neoxRanks) != 0) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--neox-ranks " + neoxRanks
                    + ": micro-batches of " + micro + " on so many ranks do not divide the global"
                    + " batch of " + batch);
        }
        return Optional.of(new NeoxSampler(micro, neoxRanks, batch / micro / neoxRanks));
    }
}
