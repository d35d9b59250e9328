package castalia.protocol.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.Samples;
import castalia.protocol.layout.Chunk;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ManifestTest {

    private static final String RUN = "c0ffee00".repeat(8);

    private static Manifest with(List<ChunkEntry> chunks) {
        return Manifest.of(RUN, "v", ScalarState.initial(), Manifest.NO_PARENT, chunks);
    }

    /** Computed by a second implementation from the definition in the Javadoc. */
    @Test
    void theStateHashIsTheOneDefined() {
        assertThat(Manifest.stateHash(
                        new ScalarState(258, 3, 1.5, 4, -1, 2),
                        List.of(new byte[32], "0123456789abcdef0123456789ABCDEF".getBytes(
                                StandardCharsets.US_ASCII))))
                .isEqualTo("84ad884f02d43e55acfd5d2acf26b0c306952ed4b554d601f998b30a42cea7a2");
        assertThat(Samples.manifest().stateHash())
                .isEqualTo("b0aa4e96034d3abb6db77bac1967fb102f8d84fecc4037b2d665ed2c08806901");
    }

    @Test
    void everyChunkAndTheScalarStateEnterTheStateHash() {
        Manifest manifest = Samples.manifest();
        for (int i = 0; i < manifest.chunks().size(); i++) {
            List<ChunkEntry> changed = new ArrayList<>(manifest.chunks());
            ChunkEntry entry = changed.get(i);
            changed.set(i, new ChunkEntry(
                    entry.chunk(), "f" + entry.sha256().substring(1), entry.bytes(),
                    entry.digest()));
            assertThat(of(manifest, manifest.scalarState(), changed).stateHash())
                    .isNotEqualTo(manifest.stateHash());
        }
        assertThat(of(manifest, manifest.scalarState().applied(), manifest.chunks()).stateHash())
                .isNotEqualTo(manifest.stateHash());
    }

    private static Manifest of(Manifest m, ScalarState scalarState, List<ChunkEntry> chunks) {
        return Manifest.of(m.runHash(), m.numericVersion(), scalarState, m.parentStep(), chunks);
    }

    @Test
    void theDigestIsTheSumOfTheChunksDigests() {
        Manifest manifest = Samples.manifest();
        StateDigest sum = StateDigest.ZERO;
        for (ChunkEntry entry : manifest.chunks()) {
            sum = sum.plus(entry.digest());
        }
        assertThat(manifest.digest()).isEqualTo(sum);
    }

    @Test
    void chunksThatDoNotCoverTheFlatSpaceAreRefused() {
        List<ChunkEntry> chunks = Samples.manifest().chunks();
        assertThatThrownBy(() -> with(List.of())).hasMessage("a manifest without chunks");
        assertThatThrownBy(() -> with(chunks.subList(1, chunks.size())))
                .hasMessageContaining("stands where chunk 0 at element 0 belongs");
        List<ChunkEntry> twice = new ArrayList<>(chunks);
        twice.add(1, chunks.get(0));
        assertThatThrownBy(() -> with(twice)).hasMessageContaining("stands where chunk 1");
        List<ChunkEntry> swapped = new ArrayList<>(chunks);
        swapped.set(0, chunks.get(1));
        swapped.set(1, chunks.get(0));
        assertThatThrownBy(() -> with(swapped)).hasMessageContaining("stands where chunk 0");
    }

    @Test
    void valuesThatContradictTheChunksAreRefused() {
        Manifest m = Samples.manifest();
        assertThatThrownBy(() -> new Manifest(
                        m.runHash(), "v", m.scalarState(), -1, m.flatElements() - 16, m.digest(),
                        m.stateHash(), m.chunks()))
                .hasMessageContaining("the chunks cover " + m.flatElements());
        assertThatThrownBy(() -> new Manifest(
                        m.runHash(), "v", m.scalarState(), -1, m.flatElements(), StateDigest.ZERO,
                        m.stateHash(), m.chunks()))
                .hasMessageContaining("the chunks' digests sum to");
        assertThatThrownBy(() -> new Manifest(
                        m.runHash(), "v", m.scalarState().applied(), -1, m.flatElements(),
                        m.digest(), m.stateHash(), m.chunks()))
                .hasMessageContaining("the chunks have the state hash");
    }

    @Test
    void aParentLiesBeforeItsChild() {
        Manifest m = Samples.manifest();
        assertThat(Manifest.of(RUN, "v", m.scalarState(), 6, m.chunks()).parentStep()).isEqualTo(6);
        assertThatThrownBy(() -> Manifest.of(RUN, "v", m.scalarState(), 7, m.chunks()))
                .hasMessage("parent step 7 of step 7");
        assertThatThrownBy(() -> Manifest.of(RUN, "v", m.scalarState(), -2, m.chunks()))
                .hasMessage("parent step -2 of step 7");
    }

    @Test
    void aChunkEntryKnowsItsContent() {
        Chunk chunk = new Chunk(0, 0, 32, 0, -1, false);
        ChunkEntry entry = new ChunkEntry(chunk, "0a".repeat(32), 400, StateDigest.ZERO);
        assertThat(entry.contentBytes()).isEqualTo(384);
        assertThat(entry.sha256Bytes()).hasSize(32).containsOnly(10);
        assertThatThrownBy(() -> new ChunkEntry(chunk, "0A".repeat(32), 400, StateDigest.ZERO))
                .hasMessageContaining("SHA-256 of chunk 0");
        assertThatThrownBy(() -> new ChunkEntry(chunk, "0a".repeat(32), 0, StateDigest.ZERO))
                .hasMessageContaining("chunk 0 has 0 bytes");
        assertThatThrownBy(() -> Manifest.stateHash(ScalarState.initial(), List.of(new byte[31])))
                .hasMessage("a SHA-256 of 31 bytes");
    }
}
