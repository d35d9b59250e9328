package castalia.protocol.wire;

import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.Vote;
import castalia.protocol.wire.generated.CheckpointProtos.ManifestMessage;
import castalia.protocol.wire.generated.SpecificationProtos.RunSpecificationMessage;
import castalia.protocol.wire.generated.VoteProtos.VoteMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import java.util.Arrays;
import java.util.Map;
import java.util.function.Function;

/**
 * Records to bytes and back. Equal records have equal bytes; bytes that are not exactly what the
 * encoder writes for the record they describe are refused, so a message has one spelling. Nothing
 * is allocated from a length or a count before it has been checked.
 */
public final class Codecs {

    /** Most bytes of a run specification. */
    public static final int SPECIFICATION_BYTES = 4 << 20;

    private static final Bounds SPECIFICATION = new Bounds(
            "run specification",
            RunSpecificationMessage.getDescriptor(),
            SpecificationCodec.FORMAT,
            SPECIFICATION_BYTES,
            Map.of("data", new Bounds.Repeated(DataManifest.LARGEST, 6, 8 * DataManifest.LONGEST)));

    /** Most bytes of a checkpoint manifest. */
    public static final int MANIFEST_BYTES = 64 << 20;

    private static final Bounds MANIFEST = new Bounds(
            "checkpoint manifest",
            ManifestMessage.getDescriptor(),
            Manifest.FORMAT,
            MANIFEST_BYTES,
            Map.of("chunks", new Bounds.Repeated(Manifest.MOST_CHUNKS, 54, 128)));

    /** Most bytes of a vote. */
    public static final int VOTE_BYTES = 32 << 20;

    private static final Bounds VOTE = new Bounds(
            "vote",
            VoteMessage.getDescriptor(),
            StateCodec.VOTE_FORMAT,
            VOTE_BYTES,
            Map.of(
                    "chunks", new Bounds.Repeated(Manifest.MOST_CHUNKS, 34, 34),
                    "losses", new Bounds.Repeated(TrainingPlan.MOST_VIRTUAL_RANKS, 14, 14)));

    private Codecs() {}

    /** The canonical bytes of a specification. */
    public static byte[] encode(RunSpecification specification) {
        return SpecificationCodec.message(specification).toByteArray();
    }

    /** Reads what {@link #encode(RunSpecification)} wrote. */
    public static RunSpecification decodeSpecification(byte[] bytes)
            throws MalformedMessageException {
        return decode(
                SPECIFICATION,
                bytes,
                RunSpecificationMessage.parser(),
                SpecificationCodec::record,
                SpecificationCodec::message);
    }

    /**
     * The canonical bytes of a manifest.
     *
     * @throws IllegalArgumentException if they are more than {@link #MANIFEST_BYTES}
     */
    public static byte[] encode(Manifest manifest) {
        byte[] bytes = StateCodec.message(manifest).toByteArray();
        if (bytes.length > MANIFEST_BYTES) {
            throw new IllegalArgumentException(
                    "a manifest of " + bytes.length + " bytes exceeds " + MANIFEST_BYTES);
        }
        return bytes;
    }

    /** Reads what {@link #encode(Manifest)} wrote. */
    public static Manifest decodeManifest(byte[] bytes) throws MalformedMessageException {
        return decode(
                MANIFEST,
                bytes,
                ManifestMessage.parser(),
                StateCodec::record,
                StateCodec::message);
    }

    /** The canonical bytes of a vote. */
    public static byte[] encode(Vote vote) {
        return StateCodec.message(vote).toByteArray();
    }

    /** Reads what {@link #encode(Vote)} wrote. */
    public static Vote decodeVote(byte[] bytes) throws MalformedMessageException {
        return decode(
                VOTE, bytes, VoteMessage.parser(), StateCodec::record, StateCodec::message);
    }

    static <M extends MessageLite, R> R decode(
            Bounds bounds,
            byte[] bytes,
            Parser<M> parser,
            Function<M, R> toRecord,
            Function<R, M> toMessage)
            throws MalformedMessageException {
        bounds.check(bytes);
        R read;
        try {
            read = toRecord.apply(parser.parseFrom(Bounds.stream(bytes)));
        } catch (InvalidProtocolBufferException e) {
            throw bounds.malformed("", "is damaged: " + e.getMessage());
        } catch (IllegalArgumentException e) {
            throw bounds.malformed("", String.valueOf(e.getMessage()));
        }
        if (!Arrays.equals(toMessage.apply(read).toByteArray(), bytes)) {
            throw bounds.malformed(
                    "", "its bytes are not the canonical ones of what they describe");
        }
        return read;
    }
}
