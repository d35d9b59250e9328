package castalia.protocol.wire;

import castalia.protocol.control.HolderReport;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.StateDigest;
import castalia.protocol.wire.generated.ControlProtos.ReportedMessage;
import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A holder's report: 16 bytes per chunk and a few for each run of neighbours at the same version,
 * so that a worker that holds all 12,000 chunks of the largest model still answers in one message.
 */
final class HoldingsCodec {

    private static final int DIGEST = 2 * Long.BYTES;

    private HoldingsCodec() {}

    static ReportedMessage message(HolderReport report) {
        ReportedMessage.Builder message = ReportedMessage.newBuilder()
                .setFence(ControlParts.message(report.fence()))
                .setWorker(report.worker().id())
                .setRuns(runs(report.chunks()))
                .setDigests(digests(report.chunks()))
                .setWeights(report.weights())
                .setFirstSlice(report.slices().first())
                .setSlices(report.slices().count());
        report.scalars().ifPresent(scalars -> message.setScalars(StateCodec.message(scalars)));
        report.committed().ifPresent(last -> message.setCommitted(ControlParts.message(last)));
        return message.build();
    }

    static HolderReport record(ReportedMessage message) {
        return new HolderReport(
                ControlParts.record(message.getFence()),
                new Incarnation(message.getWorker()),
                message.hasScalars()
                        ? Optional.of(StateCodec.record(message.getScalars()))
                        : Optional.empty(),
                held(message.getRuns(), message.getDigests()),
                message.getWeights(),
                new SliceBlock(message.getFirstSlice(), message.getSlices()),
                message.hasCommitted()
                        ? Optional.of(ControlParts.record(message.getCommitted()))
                        : Optional.empty());
    }

    private static ByteString digests(List<Held> chunks) {
        ByteBuffer bytes =
                ByteBuffer.allocate(DIGEST * chunks.size()).order(ByteOrder.LITTLE_ENDIAN);
        for (Held held : chunks) {
            bytes.putLong(held.digest().a()).putLong(held.digest().b());
        }
        return ByteString.copyFrom(bytes.flip());
    }

    private static ByteString runs(List<Held> chunks) {
        ByteString.Output bytes = ByteString.newOutput(64);
        CodedOutputStream out = CodedOutputStream.newInstance(bytes);
        try {
            int end = 0;
            for (int first = 0; first < chunks.size(); ) {
                Held held = chunks.get(first);
                int count = length(chunks, first);
                if (held.chunk() < end) {
                    throw new IllegalArgumentException(
                            "chunk " + held.chunk() + " does not ascend");
                }
                out.writeUInt32NoTag(held.chunk() - end);
                out.writeUInt32NoTag(count);
                out.writeUInt64NoTag(2 * held.version() + (held.gradient() ? 1 : 0));
                end = held.chunk() + count;
                first += count;
            }
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException("bytes in memory cannot fail", e);
        }
        return bytes.toByteString();
    }

    /** How many chunks from {@code first} on are neighbours in the same condition. */
    private static int length(List<Held> chunks, int first) {
        Held held = chunks.get(first);
        int count = 1;
        while (first + count < chunks.size()) {
            Held next = chunks.get(first + count);
            if (next.chunk() != held.chunk() + count || next.version() != held.version()
                    || next.gradient() != held.gradient()) {
                break;
            }
            count++;
        }
        return count;
    }

    private static List<Held> held(ByteString runs, ByteString digests) {
        if (digests.size() % DIGEST != 0) {
            throw new IllegalArgumentException("digests of " + digests.size() + " bytes");
        }
        ByteBuffer sums = digests.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        List<Held> chunks = new ArrayList<>(digests.size() / DIGEST);
        CodedInputStream in = runs.newCodedInput();
        try {
            long end = 0;
            while (!in.isAtEnd()) {
                long first = end + Integer.toUnsignedLong(in.readUInt32());
                long count = Integer.toUnsignedLong(in.readUInt32());
                long condition = in.readUInt64();
                if (count > sums.remaining() / DIGEST) {
                    throw new IllegalArgumentException(
                            count + " chunks with " + sums.remaining() / DIGEST + " digests");
                }
                for (long c = first; c < first + count; c++) {
                    chunks.add(new Held(ControlParts.index(c), condition >>> 1,
                            (condition & 1) == 1,
                            new StateDigest(sums.getLong(), sums.getLong())));
                }
                end = first + count;
            }
        } catch (IOException e) {
            throw new IllegalArgumentException("the runs of chunks are damaged", e);
        }
        if (sums.hasRemaining()) {
            throw new IllegalArgumentException(
                    sums.remaining() / DIGEST + " digests belong to no chunk");
        }
        return chunks;
    }
}
