package castalia.deploy.command;

import castalia.deploy.fetch.HubRepository.Kind;
import castalia.deploy.shell.JsonOption;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code checkpoint fetch}: a published model from a hub. */
@Command(
        name = "fetch",
        description = {
            "Bring a published checkpoint from a hub: weights, configuration and tokenizer.",
            "Each file is verified by the hash the hub lists. Interrupted, the same command goes on",
            "where it stopped. Public repositories only."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia checkpoint fetch EleutherAI/pythia-70m --step 3000 --out published/step3000",
            "  ./castalia checkpoint fetch EleutherAI/pythia-70m --include '*' --out everything"
        })
final class CheckpointFetchCommand implements Callable<Integer> {
    /** What 'checkpoint import', 'generate' and 'train --init' read. */
    private static final List<String> USUAL = List.of("*.safetensors", "*.json");

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private HubOptions hub = new HubOptions();

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--step", paramLabel = "N",
            description = "Training step; the revision is then stepN, as Pythia's are called.")
    private @Nullable Long step;

    @Option(names = "--revision", paramLabel = "NAME",
            description = "Branch, tag or commit (default main).")
    private String revision = "main";

    @Override
    public Integer call() {
        return hub.fetch(
                spec, Kind.MODELS, step == null ? revision : "step" + step, USUAL, json);
    }
}
