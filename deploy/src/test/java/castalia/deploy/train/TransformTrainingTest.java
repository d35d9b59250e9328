package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import castalia.protocol.ErrorCode;
import castalia.workers.data.BpeTrainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Transforms of the training data in whole runs. */
class TransformTrainingTest {
    @TempDir Path folder;

    private Path config(String name, String transforms) throws IOException {
        String text = TinyYaml.of(12, 3).text();
        return Files.writeString(folder.resolve(name), transforms.isEmpty()
                ? text
                : text.replace("\"synthetic-data\": true",
                        "\"synthetic-data\": true, \"transforms\": " + transforms));
    }

    private static Cli.Result train(Path config, Path run, Object... more) {
        return Cli.run(Stream.concat(Stream.of("train", "--config", config, "--run", run),
                Stream.of(more)).toArray());
    }

    private String state(String run, int step) {
        return Cli.run("checkpoint", "digest", folder.resolve(run), "--step", step)
                .out().replaceAll("(?s).*state ([0-9a-f]{64}).*", "$1");
    }

    private static String map() {
        StringBuilder map = new StringBuilder("{");
        for (int id = 0; id < 64; id++) {
            map.append(id == 0 ? "" : ", ").append(id).append(": ").append(id + 64);
        }
        return map + "}";
    }

    @Test
    void aRunSeesOtherTokensFromAStepOnAndEndsAlikeHoweverItIsSplit() throws IOException {
        Path plain = config("plain.yml", "");
        Path changed = config("changed.yml", "[{\"from-step\": 6, \"tokens\": " + map() + "}]");
        assertThat(train(plain, folder.resolve("plain"), "--ranks", 1).code()).isZero();
        for (int ranks : new int[] {1, 2, 4}) {
            Cli.Result result = train(changed, folder.resolve("changed" + ranks), "--ranks", ranks,
                    "--threads", 1);
            assertThat(result.code()).as(result.err()).isZero();
            assertThat(state("changed" + ranks, 6)).isEqualTo(state("plain", 6));
            assertThat(state("changed" + ranks, 9)).isNotEqualTo(state("plain", 9))
                    .isEqualTo(state("changed1", 9));
            assertThat(state("changed" + ranks, 12)).isEqualTo(state("changed1", 12));
        }
        Cli.Result other = train(changed, folder.resolve("plain"));
        assertThat(other.code()).as("the data is part of the run's identity").isNotZero();
        assertThat(other.err().lines()).hasSize(1);
    }

    @Test
    void wordsAreReplacedInARunOfATokenFile() throws IOException {
        String text = "he said that he saw him and his book; ".repeat(80);
        Path file = Files.writeString(folder.resolve("text.txt"), text);
        Path tokenizer = folder.resolve("tokenizer.json");
        Files.writeString(tokenizer, BpeTrainer.train(List.of(text), 270).toJson());
        assertThat(Cli.run("data", "prepare", file, "--tokenizer", tokenizer, "--out",
                folder.resolve("data")).code()).isZero();
        String base = TinyYaml.of(4, 2)
                .with("\"train-data-paths\": [\"" + folder.resolve("data") + "\"]")
                .with("\"vocab-file\": \"" + tokenizer + "\"").text()
                .replace("\"vocabulary\": 128", "\"vocabulary\": 384")
                .replace(", \"synthetic-data\": true", "@");
        Path plain = Files.writeString(folder.resolve("p.yml"), base.replace("@", ""));
        Path words = Files.writeString(folder.resolve("w.yml"), base.replace("@",
                ", \"transforms\": [{from-step: 2, words: {he: she, him: her, his: her}}]"));
        Path none = Files.writeString(folder.resolve("n.yml"), base.replace("@",
                ", \"transforms\": [{from-step: 2, words: {absent: missing}}]"));
        for (Path config : List.of(plain, words, none)) {
            Cli.Result result = train(config,
                    folder.resolve(config.getFileName().toString().substring(0, 1)));
            assertThat(result.code()).as(result.err()).isZero();
        }
        for (int step : new int[] {1, 2}) {
            String seen = view(words, step);
            assertThat(seen.contains(" she ")).isEqualTo(step == 2);
            assertThat(seen.contains(" he ")).isEqualTo(step == 1);
            assertThat(seen.lines().filter(line -> line.matches("  transform words: [1-9]\\d* replaced,"
                    + " \\d+ cut off, \\d+ of padding(, which count in the loss)?"))
                    .count()).isEqualTo(step == 2 ? 2 : 0);
            assertThat(view(words, step, "--untransformed")).isEqualTo(view(plain, step));
        }
        assertThat(state("w", 2)).isEqualTo(state("p", 2));
        assertThat(state("w", 4)).isNotEqualTo(state("p", 4));
        assertThat(state("n", 4)).isEqualTo(state("p", 4));
    }

    private static String view(Path config, int step, Object... more) {
        Cli.Result result = Cli.run(Stream.concat(Stream.of("data", "view", config, "--step", step,
                "--rows", "0:2", "--decode"), Stream.of(more)).toArray());
        assertThat(result.code()).as(result.err()).isZero();
        return result.out();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "5|must be a list of blocks of keys",
        "[{tokens: {1: 2}}]|block 1 has no from-step",
        "[{from-step: 3}]|neither words nor tokens",
        "[{from-step: 3, words: {a: b}, tokens: {1: 2}}]|use one or the other",
        "[{from-step: 3, words: {a: b}}]|needs vocab-file",
        "[{from-step: 12, tokens: {1: 2}}]|are none of the run's 12",
        "[{from-step: 3, to-step: 13, tokens: {1: 2}}]|are none of the run's 12",
        "[{from-step: 3, tokens: {1: x}}]|must replace ids by ids",
        "[{from-step: 3, tokens: {1: 2, 1: 3}}]|twice",
        "[{from-step: 3, tokens: {}}]|1 to 10000 pairs",
        "[{from-step: 3, tokens: {1: [2]}}]|replaces 1 by a list",
        "[{from-step: 3, tokens: {1: 2}, extra: 1}]|is not a key of this block",
    })
    void whatIsNoTransformIsNamedWithItsLine(String transforms, String message)
            throws IOException {
        Path config = config("bad.yml", transforms);
        Cli.Result result = train(config, folder.resolve("run"));
        assertThat(result.code()).isEqualTo(ErrorCode.CONFIG_INVALID.exitCode());
        assertThat(result.err()).containsPattern("bad\\.yml:\\d+: castalia: transforms")
                .contains(message);
        assertThat(folder.resolve("run")).doesNotExist();
    }

    @Test
    void anIdOutsideTheVocabularyIsNamed() throws IOException {
        Cli.Result result = train(config("bad.yml", "[{from-step: 3, tokens: {1: 128}}]"),
                folder.resolve("run"));
        assertThat(result.code()).isEqualTo(ErrorCode.DATA_CORRUPT.exitCode());
        assertThat(result.err()).contains("token 1 by 128; ids are below 128");
    }
}
