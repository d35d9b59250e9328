package castalia.protocol.wire;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Vote;
import castalia.protocol.wire.generated.CheckpointProtos.ChunkEntryMessage;
import castalia.protocol.wire.generated.CheckpointProtos.ManifestMessage;
import castalia.protocol.wire.generated.StateProtos.ScalarStateMessage;
import castalia.protocol.wire.generated.StateProtos.StateDigestMessage;
import castalia.protocol.wire.generated.VoteProtos.HeldChunkMessage;
import castalia.protocol.wire.generated.VoteProtos.LossSumMessage;
import castalia.protocol.wire.generated.VoteProtos.VoteMessage;
import com.google.protobuf.ByteString;
import java.util.HexFormat;

/**
 * Manifests and votes between record and message; wrong values are IllegalArgumentExceptions.
 */
final class StateCodec {

    static final int VOTE_FORMAT = 1;

    private static final HexFormat HEX = HexFormat.of();

    private StateCodec() {}

    static ManifestMessage message(Manifest manifest) {
        ManifestMessage.Builder message = ManifestMessage.newBuilder()
                .setFormat(Manifest.FORMAT)
                .setRunHash(bytes(manifest.runHash()))
                .setNumericVersion(manifest.numericVersion())
                .setScalarState(message(manifest.scalarState()))
                .setParentStep(manifest.parentStep())
                .setFlatElements(manifest.flatElements())
                .setDigest(message(manifest.digest()))
                .setStateHash(bytes(manifest.stateHash()));
        manifest.chunks().forEach(entry -> message.addChunks(message(entry)));
        return message.build();
    }

    static Manifest record(ManifestMessage message) {
        return new Manifest(
                hex(message.getRunHash()),
                message.getNumericVersion(),
                record(message.getScalarState()),
                message.getParentStep(),
                message.getFlatElements(),
                record(message.getDigest()),
                hex(message.getStateHash()),
                message.getChunksList().stream().map(StateCodec::record).toList());
    }

    static ChunkEntryMessage message(ChunkEntry entry) {
        Chunk chunk = entry.chunk();
        return ChunkEntryMessage.newBuilder()
                .setIndex(chunk.index())
                .setOffset(chunk.offset())
                .setLength(chunk.length())
                .setLayer(chunk.layer())
                .setSlice(chunk.slice())
                .setDecay(chunk.decay())
                .setSha256(bytes(entry.sha256()))
                .setBytes(entry.bytes())
                .setDigest(message(entry.digest()))
                .build();
    }

    static ChunkEntry record(ChunkEntryMessage message) {
        Chunk chunk = new Chunk(
                message.getIndex(),
                message.getOffset(),
                message.getLength(),
                message.getLayer(),
                message.getSlice(),
                message.getDecay());
        return new ChunkEntry(
                chunk, hex(message.getSha256()), message.getBytes(), record(message.getDigest()));
    }

    static ScalarStateMessage message(ScalarState state) {
        return ScalarStateMessage.newBuilder()
                .setStep(state.step())
                .setAppliedUpdates(state.appliedUpdates())
                .setLossScale(state.lossScale())
                .setScalerIteration(state.scalerIteration())
                .setLastOverflow(state.lastOverflow())
                .setHysteresis(state.hysteresis())
                .build();
    }

    static ScalarState record(ScalarStateMessage message) {
        return new ScalarState(
                message.getStep(),
                message.getAppliedUpdates(),
                message.getLossScale(),
                message.getScalerIteration(),
                message.getLastOverflow(),
                message.getHysteresis());
    }

    static StateDigestMessage message(StateDigest digest) {
        return StateDigestMessage.newBuilder().setA(digest.a()).setB(digest.b()).build();
    }

    static StateDigest record(StateDigestMessage message) {
        return new StateDigest(message.getA(), message.getB());
    }

    static VoteMessage message(Vote vote) {
        VoteMessage.Builder message = VoteMessage.newBuilder()
                .setFormat(VOTE_FORMAT)
                .setRank(vote.rank())
                .setStep(vote.step());
        vote.chunks().forEach(held -> message.addChunks(HeldChunkMessage.newBuilder()
                .setChunk(held.chunk())
                .setState(message(held.state()))
                .setSquares(held.squares())));
        vote.losses().forEach(loss -> message.addLosses(LossSumMessage.newBuilder()
                .setVirtualRank(loss.virtualRank())
                .setSum(loss.sum())));
        return message.setEnd(message.getChunksCount() + message.getLossesCount() + 1).build();
    }

    static Vote record(VoteMessage message) {
        return new Vote(
                message.getRank(),
                message.getStep(),
                message.getChunksList().stream()
                        .map(held -> new Vote.HeldChunk(
                                held.getChunk(), record(held.getState()), held.getSquares()))
                        .toList(),
                message.getLossesList().stream()
                        .map(loss -> new Vote.LossSum(loss.getVirtualRank(), loss.getSum()))
                        .toList());
    }

    private static ByteString bytes(String hex) {
        return ByteString.copyFrom(HEX.parseHex(hex));
    }

    private static String hex(ByteString bytes) {
        return HEX.formatHex(bytes.toByteArray());
    }
}
