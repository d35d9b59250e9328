package castalia.deploy.command;

import castalia.deploy.fetch.HubRepository.Kind;
import castalia.deploy.shell.JsonOption;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code data fetch}: a data set from a hub. */
@Command(
        name = "fetch",
        description = {
            "Bring the files of a data set from a hub, each verified by the hash the hub lists.",
            "Interrupted, the same command goes on where it stopped. Public repositories only."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data fetch EleutherAI/pile-deduped-pythia-preshuffled --out data/pile",
            "  ./castalia data fetch EleutherAI/pythia_deduped_pile_idxmaps --include '*.idx' --out i"
        })
final class DataFetchCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private HubOptions hub = new HubOptions();

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--revision", paramLabel = "NAME",
            description = "Branch, tag or commit (default main).")
    private String revision = "main";

    @Override
    public Integer call() {
        return hub.fetch(spec, Kind.DATASETS, revision, List.of(), json);
    }
}
