package castalia.checkpoints.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.FileOperations;
import castalia.checkpoints.Fixtures;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.TensorMap;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HubFolderTest {

    private static final ValueLayout.OfFloat F = ValueLayout.JAVA_FLOAT;

    @TempDir Path folder;

    @SuppressWarnings("MustBeClosedChecker") // Closed after each test.
    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void closeArena() {
        arena.close();
    }

    private MemorySegment load(FlatWeights weights, FlatLayout layout) throws IOException {
        MemorySegment flat = arena.allocate(layout.elements() * 4, 64);
        weights.read(0, flat);
        return flat;
    }

    /** Imports a folder, exports it in the type it has, from memory cut into T slices. */
    private CastReport roundTrip(Path from, Path to, int slices, int degree, long shardBytes)
            throws IOException {
        try (HubFolder hub = HubFolder.open(from)) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(degree), slices);
            MemorySegment flat = load(hub.weights(layout), layout);
            return HubExport.write(to, layout, FlatWeights.of(flat), new HubExport.Options(
                    hub.type(), shardBytes, hub.config().bosToken(), hub.config().eosToken(),
                    hub.companions()));
        }
    }

    /** Writes a copy of a single-file folder with its tensors changed. */
    private Path changed(String fixture, UnaryOperator<List<TensorInfo>> change)
            throws IOException {
        Path to = Fixtures.copy(fixture, folder.resolve("changed"));
        Path file = to.resolve("model.safetensors");
        Files.delete(file);
        try (Safetensors from =
                Safetensors.open(Fixtures.folder(fixture).resolve("model.safetensors"))) {
            Safetensors.write(FileOperations.real(), file, change.apply(from.tensors()),
                    from.metadata(), (tensor, offset, destination) -> {
                        if (from.tensors().contains(tensor)) {
                            destination.copyFrom(from.data(tensor.name())
                                    .asSlice(offset, destination.byteSize()));
                        }
                    });
        }
        return to;
    }

    private static List<TensorInfo> with(List<TensorInfo> tensors, TensorInfo more) {
        List<TensorInfo> list = new ArrayList<>(tensors);
        list.removeIf(t -> t.name().equals(more.name()));
        list.add(more);
        return list;
    }

    @ParameterizedTest
    @CsvSource({
        "hf-tiny, 1, 1", "hf-tiny, 2, 1", "hf-tiny, 4, 4", "neox-tiny, 2, 2",
        "neox-tiny, 4, 1", "neox-sequential, 1, 1", "neox-sequential, 1, 2",
    })
    void importAndExportGiveTheSameFile(String fixture, int slices, int degree)
            throws IOException {
        Path to = folder.resolve("out");
        CastReport report = roundTrip(
                Fixtures.folder(fixture), to, slices, degree, Long.MAX_VALUE);
        assertThat(report.exact()).isTrue();
        assertThat(Files.mismatch(
                Fixtures.folder(fixture).resolve("model.safetensors"),
                to.resolve("model.safetensors"))).isEqualTo(-1);
        assertThat(HubConfig.read(to.resolve("config.json")))
                .isEqualTo(HubConfig.read(Fixtures.folder(fixture).resolve("config.json")));
    }

    @ParameterizedTest
    @CsvSource({"hf-tiny, BF16", "hf-tiny, F16", "neox-tiny, BF16", "neox-sequential, BF16"})
    void narrowTypesRoundTripBitForBit(String fixture, TensorType type) throws IOException {
        Path narrow = folder.resolve("narrow");
        try (HubFolder hub = HubFolder.open(Fixtures.folder(fixture))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            CastReport report = HubExport.write(
                    narrow, layout, hub.weights(layout), HubExport.Options.of(type));
            assertThat(report.rounded()).isPositive().isLessThanOrEqualTo(report.elements());
            assertThat(report.elements()).isEqualTo(layout.shape().parameters());
        }
        CastReport again = roundTrip(narrow, folder.resolve("again"), 1, 1, Long.MAX_VALUE);
        assertThat(again.exact()).isTrue();
        assertThat(again.type()).isEqualTo(type);
        for (Path file : Fixtures.files(narrow)) {
            assertThat(Files.mismatch(file, folder.resolve("again").resolve(file.getFileName())))
                    .as(file.toString()).isEqualTo(-1);
        }
    }

    @Test
    void everyTensorLandsWhereItsSlicesSay() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("neox-tiny"));
                Safetensors file = Safetensors.open(
                        Fixtures.folder("neox-tiny").resolve("model.safetensors"))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(4), 2);
            MemorySegment flat = load(hub.weights(layout), layout);
            long[] expectedSum = new long[1];
            layout.slices().forEach(slice -> {
                Parameter p = slice.parameter();
                boolean summed = p.role() == Role.DENSE_BIAS || p.role() == Role.DOWN_BIAS;
                for (int row = 0; row < slice.rows(); row++) {
                    for (int column = 0; column < slice.columns(); column++) {
                        float expected = element(file, p, slice.tensorIndex(row, column));
                        float found = flat.getAtIndex(
                                F, slice.offset() + (long) row * slice.columns() + column);
                        assertThat(found).isEqualTo(summed ? expected / 4 : expected);
                        expectedSum[0]++;
                    }
                }
            });
            assertThat(expectedSum[0]).isEqualTo(layout.shape().parameters());
        }
    }

    private static float element(Safetensors file, Parameter p, long index) {
        try {
            return file.data(p.name()).get(ValueLayout.JAVA_FLOAT_UNALIGNED, index * 4);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void anyRangeReadsAsTheWholeAndPaddingAsZero() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("neox-sequential"))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            FlatWeights weights = hub.weights(layout);
            MemorySegment flat = load(weights, layout);
            for (long offset = 0; offset < layout.elements(); offset += 997) {
                long count = Math.min(1500, layout.elements() - offset);
                MemorySegment part = arena.allocate(count * 4, 64).fill((byte) 7);
                weights.read(offset, part);
                assertThat(part.mismatch(flat.asSlice(offset * 4, count * 4))).isEqualTo(-1);
            }
        }
    }

    @Test
    void shardsAreWrittenWithAnIndexAndReadBack() throws IOException {
        Path sharded = folder.resolve("sharded");
        roundTrip(Fixtures.folder("hf-tiny"), sharded, 2, 1, 100_000);
        assertThat(sharded.resolve("model.safetensors.index.json")).exists();
        assertThat(sharded.resolve("model.safetensors")).doesNotExist();
        assertThat(sharded.resolve("generation_config.json"))
                .hasSameBinaryContentAs(Fixtures.folder("hf-tiny/generation_config.json"));
        Path single = folder.resolve("single");
        roundTrip(sharded, single, 4, 1, Long.MAX_VALUE);
        assertThat(Files.mismatch(Fixtures.folder("hf-tiny").resolve("model.safetensors"),
                single.resolve("model.safetensors"))).isEqualTo(-1);
        long shards = Fixtures.files(sharded).stream()
                .filter(f -> f.toString().endsWith(".safetensors")).count();
        assertThat(shards).isGreaterThan(3);
        try (HubFolder hub = HubFolder.open(sharded)) {
            assertThat(hub.companions().keySet()).containsExactly("generation_config.json");
        }
        Path shard = sharded.resolve("model-00002-of-%05d.safetensors".formatted(shards));
        Files.delete(shard);
        assertThatThrownBy(() -> HubFolder.open(sharded))
                .isInstanceOf(CheckpointException.class).hasMessageContaining(shard.toString());
    }

    @Test
    void theHashOfTheWeightsIsTheSameForAnyShardsAndAnyExactType() throws IOException {
        Path sharded = folder.resolve("sharded");
        roundTrip(Fixtures.folder("hf-tiny"), sharded, 2, 1, 100_000);
        Path narrow = folder.resolve("narrow");
        Path wide = folder.resolve("wide");
        String original;
        String widened;
        try (HubFolder hub = HubFolder.open(Fixtures.folder("hf-tiny"));
                HubFolder other = HubFolder.open(sharded)) {
            original = hub.sha256();
            assertThat(other.sha256()).isEqualTo(original).hasSize(64);
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            HubExport.write(narrow, layout, hub.weights(layout),
                    HubExport.Options.of(TensorType.BF16));
        }
        try (HubFolder hub = HubFolder.open(narrow)) {
            widened = hub.sha256();
            assertThat(widened).isNotEqualTo(original);
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            HubExport.write(
                    wide, layout, hub.weights(layout), HubExport.Options.of(TensorType.F32));
        }
        try (HubFolder hub = HubFolder.open(wide)) {
            assertThat(hub.sha256()).isEqualTo(widened);
        }
    }

    @Test
    void buffersOfOldExportsAreIgnoredAndTheHeadMayBeCalledLmHead() throws IOException {
        Path old = changed("hf-tiny", tensors -> {
            List<TensorInfo> list = new ArrayList<>(tensors);
            for (int layer = 0; layer < 2; layer++) {
                String p = "gpt_neox.layers." + layer + ".attention.";
                list.add(new TensorInfo(p + "bias", TensorType.BOOL, List.of(1L, 1L, 32L, 32L)));
                list.add(new TensorInfo(p + "masked_bias", TensorType.F16, List.of()));
                list.add(new TensorInfo(p + "rotary_emb.inv_freq", TensorType.F32, List.of(2L)));
            }
            return list;
        });
        HubFolder.open(old).close();
        Files.delete(old.resolve("config.json"));
        assertThatThrownBy(() -> HubFolder.open(old))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("config.json");
    }

    @Test
    void theHeadMayBeCalledLmHeadButNotTwice() throws IOException {
        TensorInfo alias = new TensorInfo("lm_head.weight", TensorType.F32, List.of(128L, 64L));
        Path twice = changed("hf-tiny", tensors -> with(tensors, alias));
        assertThatThrownBy(() -> HubFolder.open(twice))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("not part of it: lm_head.weight");
        Files.delete(twice.resolve("model.safetensors"));
        Safetensors.write(FileOperations.real(), twice.resolve("model.safetensors"),
                NeoxParameters.of(HubConfig.read(twice.resolve("config.json")).shape()).stream()
                        .map(p -> p.role() == Role.HEAD ? alias : new TensorInfo(
                                p.name(), TensorType.BF16, HubFolder.hubShape(p)))
                        .toList(),
                new LinkedHashMap<>(), (tensor, _, destination) -> {
                    if (tensor.equals(alias)) {
                        destination.fill((byte) 0x3f);
                    }
                });
        try (HubFolder hub = HubFolder.open(twice)) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            MemorySegment flat = load(hub.weights(layout), layout);
            long head = layout.slice(Role.HEAD, 3, 0).offset();
            assertThat(flat.getAtIndex(ValueLayout.JAVA_INT, head)).isEqualTo(0x3f3f3f3f);
            assertThat(hub.type()).isEqualTo(TensorType.BF16);
        }
    }

    @Test
    void missingExtraAndWrongTensorsAreAllNamed() throws IOException {
        Path odd = changed("hf-tiny", tensors -> {
            List<TensorInfo> list = new ArrayList<>(tensors);
            list.removeIf(t -> t.name().equals("gpt_neox.final_layer_norm.bias"));
            List<TensorInfo> more = with(list, new TensorInfo(
                    "gpt_neox.embed_in.weight", TensorType.F32, List.of(64L, 128L)));
            more = with(more, new TensorInfo("surplus", TensorType.U8, List.of(3L)));
            return with(more, new TensorInfo(
                    "gpt_neox.final_layer_norm.weight", TensorType.F64, List.of(64L)));
        });
        assertThatThrownBy(() -> HubFolder.open(odd))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("missing: gpt_neox.final_layer_norm.bias")
                .hasMessageContaining("not part of it: surplus")
                .hasMessageContaining("embed_in.weight has shape [64, 128] instead of [128, 64]")
                .hasMessageContaining("final_layer_norm.weight has type F64");
    }

    @Test
    void aRunOfAnotherShapeIsTold() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("hf-tiny"))) {
            ModelShape s = hub.config().shape();
            ModelShape other = new ModelShape(
                    s.layers(), s.hidden(), s.heads(), s.intermediate(), 256, 32, 4, 10000, 1e-5,
                    true, s.gelu(), 1);
            assertThatThrownBy(() -> hub.weights(FlatLayout.of(other, 1)))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining("embed_in.weight has shape [128, 64] instead of [256");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", ".hidden",
        "link.safetensors", "a\\u0000b", "model.safetensors\\n"
    })
    void anIndexCannotNameAFileOutsideTheFolder(String name) throws IOException {
        Path hub = Fixtures.copy("hf-tiny", folder.resolve("hub"));
        Files.move(hub.resolve("model.safetensors"), folder.resolve("model.safetensors"));
        Files.createSymbolicLink(
                hub.resolve("link.safetensors"), folder.resolve("model.safetensors"));
        Files.writeString(hub.resolve("model.safetensors.index.json"),
                "{\"weight_map\":{\"gpt_neox.embed_in.weight\":\"" + name + "\"}}");
        assertThatThrownBy(() -> HubFolder.open(hub))
                .isInstanceOf(CheckpointException.class)
                .hasMessageMatching("(?s).*(refused the file name|symbolic link).*");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "{ | not valid JSON", "{} | no weight_map", "{\"weight_map\":{\"a\":1}} | no file name",
        "{\"weight_map\":{\"a\":\"none.safetensors\"}} | does not exist",
        "{\"weight_map\":{\"a\":\"x.safetensors\"}} | lacks it",
        "{\"weight_map\":{\"embed_out.weight\":\"x.safetensors\"}} | does not place",
    })
    void aWrongIndexIsNamed(String index, String complaint) throws IOException {
        Path hub = Fixtures.copy("hf-tiny", folder.resolve("hub"));
        Files.move(hub.resolve("model.safetensors"), hub.resolve("x.safetensors"));
        Files.writeString(hub.resolve("model.safetensors.index.json"), index);
        assertThatThrownBy(() -> HubFolder.open(hub))
                .isInstanceOf(CheckpointException.class).hasMessageContaining(complaint);
    }

    @Test
    void foldersWithoutSafetensorsSayWhatToDo() throws IOException {
        assertThatThrownBy(() -> HubFolder.open(folder.resolve("none")))
                .hasMessageContaining("is no folder");
        Path hub = Fixtures.copy("hf-tiny", folder.resolve("hub"));
        Files.move(hub.resolve("model.safetensors"), hub.resolve("pytorch_model.bin"));
        assertThatThrownBy(() -> HubFolder.open(hub))
                .hasMessageContaining("safe_serialization=True");
    }

    @Test
    void gatherReadsWhatTheFileHolds() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("hf-tiny"));
                Safetensors file = Safetensors.open(
                        Fixtures.folder("hf-tiny").resolve("model.safetensors"))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 4);
            TensorMap map = new TensorMap(layout);
            for (Parameter p : NeoxParameters.of(layout.shape())) {
                MemorySegment whole = arena.allocate(p.elements() * 4, 64);
                map.gather(hub.weights(layout), p, 0, whole);
                assertThat(whole.mismatch(file.data(p.name()))).isEqualTo(-1);
            }
        }
    }
}
