package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.protocol.ErrorCode;
import castalia.workers.data.BpeTrainer;
import castalia.workers.data.TokenFile;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that read texts, as a user calls them. */
class DataTextCommandsTest {
    @TempDir Path folder;
    private Path tokenizer;

    @BeforeEach
    void tokenizer() throws IOException {
        tokenizer = folder.resolve("tokenizer.json");
        Files.writeString(tokenizer,
                BpeTrainer.train(List.of("some words to learn from, words and words"), 270).toJson());
    }

    private static JsonNode last(Cli.Result result) throws IOException {
        return new ObjectMapper().readTree(result.out().lines().toList().getLast());
    }

    @Test
    void prepareReadsJsonLinesAndSaysWhatItDid() throws IOException {
        Path lines = Files.writeString(folder.resolve("a.jsonl"),
                "{\"body\": \"some words\"}\n{\"body\": \"other words\"}\n");
        Path prefix = folder.resolve("made/data");
        Cli.Result result = Cli.run("data", "prepare", lines, "--tokenizer", tokenizer,
                "--append-eod", "--field", "body", "--out", prefix, "--threads", 2, "--json");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(last(result).path("documents").intValue()).isEqualTo(2);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(last(result).path("tokens").longValue()).isEqualTo(file.tokens());
            assertThat(file.sequences()).isEqualTo(2);
        }
        Cli.Result again = Cli.run("data", "prepare", lines, "--tokenizer", tokenizer, "--out", prefix);
        assertThat(again.code()).isEqualTo(ErrorCode.DATA_CORRUPT.exitCode());
        assertThat(again.err()).contains("data.idx", "exists already");
    }

    @Test
    void aBrokenLineIsOneLineOfError() throws IOException {
        Path lines = Files.writeString(folder.resolve("a.jsonl"), "{\"text\": \"fine\"}\n{\"text\"\n");
        for (String command : List.of("prepare", "dedup")) {
            Cli.Result result = command.equals("prepare")
                    ? Cli.run("data", "prepare", lines, "--tokenizer", tokenizer, "--out",
                            folder.resolve("p"))
                    : Cli.run("data", "dedup", lines, "--out", folder.resolve("d.jsonl"));
            assertThat(result.code()).isEqualTo(ErrorCode.DATA_CORRUPT.exitCode());
            assertThat(result.err().lines()).hasSize(1);
            assertThat(result.err()).contains("a.jsonl: line 2, column");
            assertThat(result.out()).isEmpty();
        }
    }

    @Test
    void dedupWritesWhatIsKeptAndAReport() throws IOException {
        Path lines = Files.writeString(folder.resolve("a.jsonl"),
                "{\"text\": \"One text.\"}\n{\"text\": \"one  text.\"}\n{\"text\": \"another\"}\n");
        Path out = folder.resolve("d.jsonl");
        Cli.Result result = Cli.run("data", "dedup", lines, "--exact", "--out", out, "--json");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(last(result).path("exact").intValue()).isEqualTo(1);
        assertThat(Files.readAllLines(out)).containsExactly(
                "{\"text\": \"One text.\"}", "{\"text\": \"another\"}");
        assertThat(Files.readString(folder.resolve("d.jsonl.report.jsonl")))
                .contains("\"kept\":2", "\"document\":2");
        assertThat(Cli.run("data", "dedup", lines, "--threshold", "7", "--out",
                folder.resolve("e.jsonl")).err()).contains("threshold 7.0");
    }
}
