package castalia.deploy.command;

import castalia.deploy.model.StoredModel;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Wiring;
import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.workers.data.Tokenizer;
import castalia.workers.generation.Generator;
import castalia.workers.generation.Sampling;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code generate}: continues a text. */
@Command(
        name = "generate",
        description = {
            "Continue a text with a run's checkpoint or a Hugging Face GPTNeoX folder.",
            "The same model, prompt and seed give the same text."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia generate runs/70m --prompt 'And it came to pass'",
            "  ./castalia generate exported/step1000 --prompt 'The' --tokens 100 --temperature 0"
        })
final class GenerateCommand implements Callable<Integer> {
    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Parameters(paramLabel = "DIR", description = "A run folder or a Hugging Face folder.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path folder;

    @Option(names = "--step", paramLabel = "N",
            description = "Checkpoint of a run (default: the newest).")
    private @Nullable Long step;

    @Option(names = "--prompt", required = true, paramLabel = "TEXT",
            description = "The text to continue.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private String prompt;

    @Mixin
    @SuppressWarnings("UnusedVariable") // picocli calls it
    private ComputeDevice device = new ComputeDevice();

    @Option(names = "--tokens", paramLabel = "N", description = "Tokens to add (default 64).")
    private int tokens = 64;

    @Option(names = "--temperature", paramLabel = "X",
            description = "0 takes the likeliest token (default 0.8).")
    private double temperature = 0.8;

    @Option(names = "--top-k", paramLabel = "K",
            description = "Consider the K likeliest tokens, 0 all (default 40).")
    private int topK = 40;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the draws (default 1).")
    private long seed = 1;

    @Option(names = "--dtype", paramLabel = "TYPE", description = "fp32 (default), bf16 or fp16.")
    private String dtype = "fp32";

    @Option(names = "--tokenizer", paramLabel = "FILE",
            description = "tokenizer.json (default: the one in DIR).")
    private @Nullable Path tokenizerFile;

    GenerateCommand(CastaliaHome home) {
        this.home = home;
    }

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        Sampling sampling = sampling();
        try (StoredModel model = StoredModel.open(folder,
                step == null ? OptionalLong.empty() : OptionalLong.of(step));
                Tokenizer tokenizer = Tokenizer.load(tokenizer(model));
                Device device = Wiring.device(home);
                Arena arena = device.arena();
                Generator generator = new Generator(
                        ChunkGrid.of(model.layout()), device, model.onDevice(device, arena, type()))) {
            int[] ids = tokenizer.encode(prompt);
            if (ids.length == 0) {
                ids = new int[] {tokenizer.endOfDocument()};
            }
            int start = ids.length;
            int[] all = generator.generate(ids, tokens, tokenizer.vocabularySize(), sampling,
                    token -> token != tokenizer.endOfDocument());
            int[] added = Arrays.copyOfRange(all, start, all.length);
            if (added.length > 0 && added[added.length - 1] == tokenizer.endOfDocument()) {
                added = Arrays.copyOf(added, added.length - 1);
            }
            out.println(prompt + tokenizer.decode(added));
            return 0;
        }
    }

    private Sampling sampling() {
        try {
            if (tokens < 1 || tokens > 1_000_000) {
                throw new IllegalArgumentException(
                        "--tokens " + tokens + " must lie between 1 and 1000000");
            }
            return new Sampling(temperature, topK, seed);
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    private DType type() {
        return switch (dtype) {
            case "fp32" -> DType.F32;
            case "bf16" -> DType.BF16;
            case "fp16" -> DType.F16;
            default -> throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--dtype " + dtype + " is none of fp32, bf16, fp16");
        };
    }

    private Path tokenizer(StoredModel model) {
        if (tokenizerFile != null) {
            return tokenizerFile;
        }
        return model.tokenizer().orElseThrow(() -> new CastaliaException(ErrorCode.CONFIG_INVALID,
                folder + " has no tokenizer.json; name one with --tokenizer"));
    }
}
