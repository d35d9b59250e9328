package castalia.deploy.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.INTEGER;

import castalia.deploy.Cli;
import castalia.deploy.fetch.HubRepository.Kind;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class FetcherTest {
    private static final FetchSettings QUICK = new FetchSettings(3, 4, Duration.ofSeconds(10),
            Duration.ofSeconds(20), Duration.ofMillis(2), Duration.ofMillis(50));
    private static final FetchSettings IMPATIENT = new FetchSettings(3, 4, Duration.ofSeconds(10),
            Duration.ofMillis(700), Duration.ofMillis(2), Duration.ofMillis(50));

    @TempDir Path folder;
    private HubServer hub;
    private byte[] large;

    @BeforeEach
    void start() throws IOException {
        hub = new HubServer();
        large = new byte[3_000_000];
        new Random(1).nextBytes(large);
        hub.add("config.json", "{\"a\": 1}".getBytes(StandardCharsets.UTF_8));
        hub.add("model.safetensors", large);
        hub.add("deep/with blank/é+%.txt", "text".getBytes(StandardCharsets.UTF_8));
        hub.add("empty.txt", new byte[0]);
    }

    @AfterEach
    void stop() {
        hub.close();
    }

    private Fetcher.Summary fetch(FetchSettings settings) {
        return Fetcher.fetch(HubRepository.of(hub.address(), Kind.MODELS, "own/repo", "step3"),
                folder.resolve("out"), _ -> true, settings, (_, _, _, _) -> {});
    }

    /** Every file under the folder, by relative path. */
    private Map<String, byte[]> present() throws IOException {
        Map<String, byte[]> found = new TreeMap<>();
        Path root = folder.resolve("out");
        try (Stream<Path> all = Files.walk(root)) {
            for (Path file : all.filter(Files::isRegularFile).toList()) {
                found.put(root.relativize(file).toString(), Files.readAllBytes(file));
            }
        }
        return found;
    }

    private void allIsThere() throws IOException {
        Map<String, byte[]> found = present();
        assertThat(found.keySet()).containsExactlyInAnyOrder("config.json", "model.safetensors",
                "deep/with blank/é+%.txt", "empty.txt");
        assertThat(found.get("model.safetensors")).isEqualTo(large);
        assertThat(found.get("config.json")).asString().isEqualTo("{\"a\": 1}");
    }

    @Test
    void allFilesComeOnceAndAreNotAskedForAgain() throws IOException {
        Fetcher.Summary summary = fetch(QUICK);
        assertThat(summary).isEqualTo(
                new Fetcher.Summary(HubServer.COMMIT, 4, large.length + 12, 4));
        allIsThere();
        assertThat(hub.requests.getFirst()).endsWith("/api/models/own/repo/revision/step3");
        assertThat(hub.requests).anyMatch(
                line -> line.contains("/own/repo/resolve/" + HubServer.COMMIT + "/"));
        hub.requests.clear();
        assertThat(fetch(QUICK).fetched()).isZero();
        assertThat(hub.requests).hasSize(1);
    }

    @Test
    void whatIsCutOffGoesOnWhereItStopped() throws IOException {
        hub.failing("model.safetensors", HubServer.cutAfter(1_200_000),
                HubServer.cutAfter(1_500_000), HubServer.cutAfter(1));
        fetch(QUICK);
        allIsThere();
        assertThat(hub.requests.stream().filter(line -> line.startsWith("model")))
                .hasSize(4)
                .anyMatch(line -> line.matches(".* bytes=2[4-7]\\d{5}- .*"));
    }

    @Test
    void whatStallsIsEndedAndGoesOn() throws IOException {
        hub.failing("model.safetensors", hub.stallAfter(500_000), hub.stallAfter(1_000_000));
        hub.failing("config.json", hub.stallAfter(0));
        fetch(IMPATIENT);
        allIsThere();
    }

    private static FetchSettings patient(int tries, long stallMillis) {
        return new FetchSettings(3, tries, Duration.ofSeconds(10), Duration.ofMillis(stallMillis),
                Duration.ofMillis(2), Duration.ofMillis(50));
    }

    @Test
    void whatDripsIsEndedToo() throws IOException {
        hub.failing("model.safetensors", hub.drip(50), hub.drip(50));
        assertThatThrownBy(() -> fetch(patient(2, 700))).message()
                .matches("only \\d+ bytes came in 0.7 s \\(given up after 2 tries; .*");
        assertThat(present()).doesNotContainKey("model.safetensors");
        fetch(QUICK);
        allIsThere();
    }

    /**
     * A file that takes longer than the patience comes, as long as enough of it comes in time; at once,
     * unless the machine stood still in each of five attempts.
     */
    @Test
    void whatIsSlowButComesIsWaitedFor() throws IOException {
        for (int i = 0; i < 5; i++) {
            hub.requests.clear();
            hub.failing("model.safetensors", hub.inPieces(150_000, 90));
            fetch(patient(4, 1500));
            boolean steady = hub.longestPauseMillis() < 1000;
            allIsThere();
            if (steady) {
                assertThat(hub.asked("model.safetensors")).isEqualTo(1);
                return;
            }
            Files.delete(folder.resolve("out/model.safetensors")); // once more: the machine stood still
        }
    }

    @Test
    void aListingTakesNoMoreMemoryThanASmallMultipleOfItself() throws IOException {
        StringBuilder siblings = new StringBuilder();
        for (int i = 0; i < 40_000; i++) {
            siblings.append(i == 0 ? "" : ",").append(HubServer.sibling("f" + i, new byte[] {1}));
        }
        byte[] json = ("{\"junk\": {\"a\": [[" + "1,".repeat(1_000_000) + "1]]}, \"sha\": \""
                + HubServer.COMMIT + "\", \"siblings\": [" + siblings + "]}")
                .getBytes(StandardCharsets.UTF_8);
        HubListing.parse(json);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        assertThat(HubListing.parse(json).files()).hasSize(40_000);
        assertThat(threads.getCurrentThreadAllocatedBytes() - before).as("of %d", json.length)
                .isLessThan(10L * json.length);
        hub.failing("listing", HubServer.instead(new byte[(32 << 20) + 1]));
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("more than 33554432 bytes");
    }

    @Test
    void busyAndBrokenServersAreAskedAgain() throws IOException {
        hub.failing("listing", HubServer.status(500), HubServer.status(429, "Retry-After", "1"),
                HubServer.instead("<html>".getBytes(StandardCharsets.UTF_8)));
        hub.failing("config.json", HubServer.status(503), HubServer.status(429), HubServer.status(502));
        fetch(QUICK);
        allIsThere();
        assertThat(hub.asked("config.json")).isEqualTo(4);
    }

    @Test
    void redirectsAreFollowed() throws IOException {
        hub.failing("model.safetensors",
                HubServer.status(302, "Location", "/moved/own/repo/resolve/x/model.safetensors"));
        hub.failing("config.json", HubServer.status(307, "Location", hub.address()
                + "/own/repo/resolve/y/config.json"));
        fetch(QUICK);
        allIsThere();
    }

    @Test
    void redirectsWithoutEndOrToAFileAreRefused() {
        HubServer.Fault round = HubServer.status(302, "Location", "/own/repo/resolve/x/config.json");
        HubServer.Fault[] many = new HubServer.Fault[60];
        Arrays.fill(many, round);
        hub.failing("config.json", many);
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("redirects");
        hub.failing("config.json", HubServer.status(302, "Location", "file:///etc/passwd"));
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("refused");
    }

    @Test
    void aServerThatIgnoresRangesOrServesOthersIsCoped() throws IOException {
        hub.failing("model.safetensors", HubServer.cutAfter(1_000_000),
                HubServer.wholeWhateverIsAsked());
        fetch(QUICK);
        allIsThere();
        Files.delete(folder.resolve("out/model.safetensors"));
        hub.failing("model.safetensors", HubServer.cutAfter(1_000_000),
                HubServer.restFromElsewhere());
        fetch(QUICK);
        allIsThere();
    }

    @Test
    void aFileThatChangesBetweenTriesIsBegunAnew() throws IOException {
        byte[] other = large.clone();
        other[2_000_000]++;
        hub.failing("model.safetensors", HubServer.cutAfter(1_000_000), HubServer.instead(other),
                (exchange, _) -> {
                    exchange.getResponseHeaders().set("ETag", "\"third\"");
                    HubServer.rest(exchange, other, 0);
                });
        fetch(QUICK);
        allIsThere();
    }

    @Test
    void wrongSizesAndWrongBytesAreThrownAwayAndTriedAgain() throws IOException {
        byte[] wrong = large.clone();
        wrong[7] ^= 1;
        hub.failing("model.safetensors", HubServer.instead(new byte[2000]),
                HubServer.endless(100_000), HubServer.instead(wrong));
        fetch(QUICK);
        allIsThere();
    }

    @Test
    void whatStaysWrongIsGivenUpWithOneLineAndLeavesNothingUnderItsName() throws IOException {
        byte[] wrong = large.clone();
        wrong[7] ^= 1;
        HubServer.Fault lie = HubServer.instead(wrong);
        hub.failing("model.safetensors", lie, lie, lie, lie);
        assertThatThrownBy(() -> fetch(QUICK))
                .isInstanceOfSatisfying(CastaliaException.class,
                        e -> assertThat(e.code()).isEqualTo(ErrorCode.HUB_FAILED))
                .hasMessageContainingAll("model.safetensors", "hash", "given up after 4 tries")
                .message().doesNotContain("\n");
        assertThat(present()).doesNotContainKey("model.safetensors");
        fetch(QUICK);
        allIsThere();
    }

    @Test
    void aLaterRunGoesOnWithWhatCame() throws IOException {
        HubServer.Fault cut = HubServer.cutAfter(400_000);
        hub.failing("model.safetensors", cut, HubServer.status(404));
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("404");
        hub.requests.clear();
        AtomicLong most = new AtomicLong();
        Fetcher.fetch(HubRepository.of(hub.address(), Kind.MODELS, "own/repo", "step3"),
                folder.resolve("out"), _ -> true, QUICK,
                (_, _, bytes, _) -> most.accumulateAndGet(bytes, Math::max));
        allIsThere();
        assertThat(hub.requests).filteredOn(line -> line.contains("bytes=")).singleElement()
                .extracting(line -> Integer.parseInt(line.replaceAll(".*bytes=(\\d+)-.*", "$1")))
                .as("what a cut leaves may lack its end").asInstanceOf(INTEGER)
                .isBetween(1, 400_000);
        assertThat(most.get()).isEqualTo(large.length + 12);
    }

    @ParameterizedTest
    @ValueSource(strings = {"../evil", "/etc/evil", "a/../../evil", "a//b", "./a", "a/.", "",
        "a\\\\b", "nul\\u0000", "line\\nbreak"})
    void namesThatLeadOutAreRefused(String name) throws IOException {
        hub.extraListing = "," + HubServer.sibling(name, new byte[] {1});
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("refused");
        assertThat(folder.resolve("out")).doesNotExist();
    }

    @Test
    void aLinkOutOfTheFolderIsRefused() throws IOException {
        Path outside = Files.createDirectory(folder.resolve("outside"));
        Files.createDirectory(folder.resolve("out"));
        Files.createSymbolicLink(folder.resolve("out/deep"), outside);
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining("is a link");
        assertThat(outside).isEmptyDirectory();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        ",{\"rfilename\": \"x\"}|without a size",
        ",{\"rfilename\": \"x\", \"size\": -1, \"blobId\": "
                + "\"0123456789abcdef0123456789abcdef01234567\"}|without a size",
        ",{\"rfilename\": \"x\", \"size\": 1, \"lfs\": {\"sha256\": \"../..\", \"size\": 1}}|without",
        ",{\"rfilename\": \"empty.txt\", \"size\": 0, \"blobId\": "
                + "\"0123456789abcdef0123456789abcdef01234567\"}|twice",
    })
    void listingsThatCannotBeTrustedAreRefused(String extra, String message) {
        hub.extraListing = extra;
        assertThatThrownBy(() -> fetch(QUICK)).hasMessageContaining(message);
    }

    @Test
    void anotherFileInTheWayIsNotTouched() throws IOException {
        Files.createDirectory(folder.resolve("out"));
        Files.writeString(folder.resolve("out/config.json"), "mine");
        assertThatThrownBy(() -> fetch(QUICK))
                .hasMessageContainingAll("config.json", "not the listed file");
        assertThat(folder.resolve("out/config.json")).hasContent("mine");
    }

    @Test
    void theCommandsChooseFilesAndAddresses() throws IOException {
        Cli.Result result = Cli.run("checkpoint", "fetch", "own/repo", "--step", 3, "--hub",
                hub.address(), "--out", folder.resolve("out"), "--json");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(present().keySet()).containsExactly("config.json", "model.safetensors");
        assertThat(result.out()).contains("\"commit\":\"" + HubServer.COMMIT + "\"");
        hub.requests.clear();
        Cli.Result data = Cli.run("data", "fetch", "own/repo", "--hub", hub.address() + "/",
                "--out", folder.resolve("data"), "--include", "deep/**", "--include", "*.json",
                "--exclude", "config*");
        assertThat(data.code()).as(data.err()).isZero();
        assertThat(hub.requests.stream().map(line -> line.split(" (?=/)")[1])).containsExactly(
                "/api/datasets/own/repo/revision/main",
                "/datasets/own/repo/resolve/" + HubServer.COMMIT + "/deep/with blank/é+%.txt");
    }

    @Test
    void wrongRequestsAreOneLine() {
        for (List<String> args : List.of(
                List.of("data", "fetch", "../x", "--out", "x"),
                List.of("data", "fetch", "a/b", "--hub", "ftp://x", "--out", "x"),
                List.of("data", "fetch", "a/b", "--include", "[", "--out", "x"),
                List.of("data", "fetch", "a/b", "--parallel", "0", "--out", "x"))) {
            Cli.Result result = Cli.run(args.toArray());
            assertThat(result.code()).as("%s", args).isEqualTo(ErrorCode.CONFIG_INVALID.exitCode());
            assertThat(result.err().lines()).hasSize(1);
        }
        Cli.Result absent = Cli.run("data", "fetch", "own/other", "--hub", hub.address(),
                "--include", "*.none", "--out", folder.resolve("x"));
        assertThat(absent.err()).contains("no such files");
        hub.failing("listing", HubServer.status(404));
        assertThat(Cli.run("data", "fetch", "own/repo", "--hub", hub.address(), "--out",
                folder.resolve("x")).err()).contains("no such repository");
        hub.close();
    }
}
