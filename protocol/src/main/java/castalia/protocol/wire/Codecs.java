package castalia.protocol.wire;

import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.wire.generated.SpecificationProtos.RunSpecificationMessage;
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
            Map.of("data", new Bounds.Repeated(DataManifest.LARGEST, 4, 8 * DataManifest.LONGEST)));

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

    private static <M extends MessageLite, R> R decode(
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
            throw bounds.malformed("", "its bytes are not the canonical ones of what they describe");
        }
        return read;
    }
}
