package castalia.deploy.command;

import picocli.CommandLine.Command;

/** {@code data}: makes and looks at token files. */
@Command(
        name = "data",
        description = "Make token files from text, and look at them.",
        subcommands = {
            DataPrepareCommand.class,
            DataDedupCommand.class,
            DataFetchCommand.class,
            DataIndexCommand.class,
            DataViewCommand.class,
            DataFindCommand.class,
            DataStatsCommand.class,
            DataPartsCommands.Shard.class,
            DataPartsCommands.Unshard.class,
            DataPartsCommands.Checksum.class
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data prepare books/ --tokenizer tokenizer.json --append-eod --out data/books",
            "  ./castalia data dedup pile/*.jsonl.zst --out deduped.jsonl.zst",
            "  ./castalia data fetch EleutherAI/pile-deduped-pythia-preshuffled --out data/pile",
            "  ./castalia data index data/books --seq-length 2048 --samples 100000 --seed 1234",
            "  ./castalia data view runs/books --step 100 --rows 0:4 --decode --source",
            "  ./castalia data find runs/books 'Melchizedek'",
            "  ./castalia data stats data/books"
        })
final class DataCommand {}
