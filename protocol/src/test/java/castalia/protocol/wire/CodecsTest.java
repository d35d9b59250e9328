package castalia.protocol.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.ControlSamples;
import castalia.protocol.Fixtures;
import castalia.protocol.Samples;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.wire.generated.CheckpointProtos.ManifestMessage;
import castalia.protocol.wire.generated.SpecificationProtos.RunSpecificationMessage;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class CodecsTest {

    /** A kind of message: how to read it, and the bytes of samples. */
    record Kind(String name, Decoder decoder, List<byte[]> samples) {

        /** Reads and writes again. */
        byte[] roundTrip(byte[] bytes) throws MalformedMessageException {
            return decoder.roundTrip(bytes);
        }
    }

    @FunctionalInterface
    interface Decoder {
        byte[] roundTrip(byte[] bytes) throws MalformedMessageException;
    }

    static Stream<Named<Kind>> kinds() {
        return Stream.of(
                        new Kind(
                                "run specification",
                                bytes -> Codecs.encode(Codecs.decodeSpecification(bytes)),
                                List.of(
                                        Codecs.encode(Samples.specification()),
                                        Codecs.encode(Samples.other()))),
                        new Kind(
                                "checkpoint manifest",
                                bytes -> Codecs.encode(Codecs.decodeManifest(bytes)),
                                List.of(Codecs.encode(Samples.manifest()))),
                        new Kind(
                                "vote",
                                bytes -> Codecs.encode(Codecs.decodeVote(bytes)),
                                List.of(Codecs.encode(Samples.vote()))),
                        new Kind(
                                "worker message",
                                bytes -> ControlCodec.encode(ControlCodec.decodeWorker(bytes)),
                                ControlSamples.worker().stream()
                                        .map(ControlCodec::encode)
                                        .toList()),
                        new Kind(
                                "coordinator message",
                                bytes -> ControlCodec.encode(
                                        ControlCodec.decodeCoordinator(bytes)),
                                ControlSamples.coordinator().stream()
                                        .map(ControlCodec::encode)
                                        .toList()))
                .map(kind -> Named.of(kind.name(), kind));
    }

    @Test
    void recordsComeBackEqual() throws MalformedMessageException {
        assertThat(Codecs.decodeSpecification(Codecs.encode(Samples.specification())))
                .isEqualTo(Samples.specification());
        assertThat(Codecs.decodeSpecification(Codecs.encode(Samples.other())))
                .isEqualTo(Samples.other());
        assertThat(Codecs.decodeManifest(Codecs.encode(Samples.manifest())))
                .isEqualTo(Samples.manifest());
        assertThat(Codecs.decodeVote(Codecs.encode(Samples.vote()))).isEqualTo(Samples.vote());
    }

    @Test
    void aFixedLossScaleIsPartOfTheIdentity() throws MalformedMessageException {
        RunSpecification dynamic = Samples.other();
        RunSpecification fixed = dynamic.plan().toBuilder().lossScaler(new LossScaler.Fixed(128))
                .build().specification(dynamic.data(), dynamic.numericVersion());
        assertThat(Codecs.decodeSpecification(Codecs.encode(fixed))).isEqualTo(fixed);
        assertThat(RunIdentity.of(fixed)).isNotEqualTo(RunIdentity.of(dynamic));
    }

    @Test
    void theBytesAreTheGoldenOnes() {
        assertGolden("golden/specification.hex", Codecs.encode(Samples.specification()));
        assertGolden("golden/specification-other.hex", Codecs.encode(Samples.other()));
        assertGolden("golden/manifest.hex", Codecs.encode(Samples.manifest()));
        assertGolden("golden/vote.hex", Codecs.encode(Samples.vote()));
    }

    private static void assertGolden(String name, byte[] bytes) {
        assertThat(HexFormat.of().formatHex(bytes))
                .as(name)
                .isEqualTo(HexFormat.of().formatHex(Fixtures.hex(name)));
    }

    @Test
    void theIdentityIsTheHashOfTheGoldenBytes() {
        RunIdentity identity = RunIdentity.of(Samples.specification());
        assertThat(identity.hash())
                .isEqualTo("5b8be48351ae16d355d9de3759a0e134fe3fa1b8438f6ef946a39d53c7467cb3");
        assertThat(identity.shortId()).isEqualTo(identity.hash().substring(0, 12));
        assertThat(RunIdentity.of(Samples.other())).isNotEqualTo(identity);
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void everyTruncationIsRefused(Kind kind) {
        for (byte[] bytes : kind.samples()) {
            for (int length = 0; length < bytes.length; length++) {
                byte[] shorter = Arrays.copyOf(bytes, length);
                assertThatThrownBy(() -> kind.roundTrip(shorter))
                        .as("%d of %d bytes", length, bytes.length)
                        .isInstanceOf(MalformedMessageException.class)
                        .hasMessageStartingWith(kind.name());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void bytesAtTheEndAreRefused(Kind kind) {
        for (byte[] bytes : kind.samples()) {
            byte[] longer = Arrays.copyOf(bytes, bytes.length + 1);
            assertThatThrownBy(() -> kind.roundTrip(longer))
                    .isInstanceOf(MalformedMessageException.class);
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void aNewerFormatIsRefusedInWordsWhateverFollows(Kind kind) {
        byte[] newer = {0x08, 0x02, 0x01, 0x01};
        assertThatThrownBy(() -> kind.roundTrip(newer))
                .isInstanceOf(MalformedMessageException.class)
                .hasMessage(kind.name() + ", format: the message has format 2, newer than this"
                        + " build, which reads formats up to 1; use a newer build");
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void bytesThatDoNotBeginWithAFormatAreRefused(Kind kind) {
        byte[] text = "{\"format\": 1}".getBytes(StandardCharsets.UTF_8);
        assertThatThrownBy(() -> kind.roundTrip(text))
                .hasMessage(kind.name() + ": does not begin with its format number");
        assertThatThrownBy(() -> kind.roundTrip(new byte[] {0x08, 0x00}))
                .hasMessage(kind.name() + ", format: 0 is no format");
    }

    @Test
    void anUnknownFieldIsRefusedByNumber() {
        byte[] bytes = RunSpecificationMessage.newBuilder()
                .setFormat(1)
                .setUnknownFields(UnknownFieldSet.newBuilder()
                        .addField(77, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
                        .build())
                .build()
                .toByteArray();
        assertThatThrownBy(() -> Codecs.decodeSpecification(bytes))
                .hasMessage("run specification: has an unknown field 77");
    }

    @Test
    void aSecondSpellingOfTheSameRecordIsRefused() {
        byte[] bytes = Codecs.encode(Samples.vote());
        byte[] longer = new byte[bytes.length + 1];
        longer[0] = 0x08;
        longer[1] = (byte) 0x81; // format 1 as a varint of two bytes
        longer[2] = 0;
        System.arraycopy(bytes, 2, longer, 3, bytes.length - 2);
        assertThatThrownBy(() -> Codecs.decodeVote(longer)).hasMessage(
                "vote: its bytes are not the canonical ones of what they describe");
    }

    @Test
    void aFieldThatOccursTwiceIsRefusedByName() {
        byte[] bytes = {0x08, 0x01, 0x10, 0x01, 0x10, 0x01};
        assertThatThrownBy(() -> Codecs.decodeVote(bytes))
                .hasMessage("vote, rank: occurs twice");
    }

    @Test
    void wrongValuesAreRefusedWithTheirReason() throws Exception {
        ManifestMessage good = ManifestMessage.parseFrom(Codecs.encode(Samples.manifest()));
        assertThatThrownBy(() -> Codecs.decodeManifest(good.toBuilder()
                        .setFlatElements(good.getFlatElements() + 16)
                        .build()
                        .toByteArray()))
                .hasMessageContaining("the chunks cover");
        assertThatThrownBy(() -> Codecs.decodeManifest(good.toBuilder()
                        .setStateHash(ByteString.copyFrom(new byte[32]))
                        .build()
                        .toByteArray()))
                .hasMessageContaining("the chunks have the state hash");
        assertThatThrownBy(() -> Codecs.decodeManifest(good.toBuilder()
                        .setDigest(good.getDigest().toBuilder().setA(5))
                        .build()
                        .toByteArray()))
                .hasMessageContaining("the chunks' digests sum to");
        assertThatThrownBy(() -> Codecs.decodeManifest(good.toBuilder()
                        .removeChunks(1)
                        .build()
                        .toByteArray()))
                .hasMessageContaining("stands where chunk 1");
    }

    @Test
    void countsAreBoundedBeforeElementsAreMade() {
        byte[] bytes = new byte[2 + 2 * 4096];
        bytes[0] = 0x08;
        bytes[1] = 0x01;
        for (int i = 2; i < bytes.length; i += 2) {
            bytes[i] = 0x7a; // an empty data entry
        }
        assertThatThrownBy(() -> Codecs.decodeSpecification(bytes)).hasMessage(
                "run specification, data[0]: has 0 bytes; 6 to 2048 are allowed");
    }

    @Test
    void aMessageThatIsTooLongIsRefusedBeforeItIsRead() {
        byte[] bytes = new byte[Codecs.SPECIFICATION_BYTES + 1];
        assertThatThrownBy(() -> Codecs.decodeSpecification(bytes)).hasMessage(
                "run specification: has 4194305 bytes; at most 4194304 are allowed");
    }

    @Test
    void theManifestSaysWhatItIsOf() {
        Manifest manifest = Samples.manifest();
        assertThat(manifest.step()).isEqualTo(7);
        assertThat(manifest.flatElements())
                .isEqualTo(manifest.chunks().getLast().chunk().end());
    }
}
