package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.Objects;

/** The tokens of the samples of a {@link SampleOrder}, read from its {@link TokenFile}. */
public final class SampleReader {
    private final TokenFile file;
    private final SampleOrder order;

    /** The file stays open and its caller's to close. */
    public SampleReader(TokenFile file, SampleOrder order) {
        if (order.request().endDocument() > file.sequences()) {
            throw new IllegalArgumentException("order over documents up to "
                    + order.request().endDocument() + ", file of " + file.sequences());
        }
        this.file = file;
        this.order = order;
    }

    public TokenFile file() {
        return file;
    }

    public SampleOrder order() {
        return order;
    }

    /** Copies the S + 1 tokens at a dataset index to the start of {@code target} as int32. */
    public void item(long datasetIndex, MemorySegment target) {
        tokens(datasetIndex, 0, order.request().sequenceLength() + 1, target, 0);
    }

    /** The S + 1 tokens at a dataset index. */
    public int[] item(long datasetIndex) {
        int[] tokens = new int[order.request().sequenceLength() + 1];
        item(datasetIndex, MemorySegment.ofArray(tokens));
        return tokens;
    }

    /**
     * Copies tokens [first, first + count) of the S + 1 at a dataset index to {@code target} as
     * int32 from byte {@code targetByte} on. Allocates nothing.
     */
    public void tokens(
            long datasetIndex, int first, int count, MemorySegment target, long targetByte) {
        Objects.checkFromIndexSize(first, count, order.request().sequenceLength() + 1);
        long sample = order.sampleAt(datasetIndex);
        long position = order.samplePosition(sample);
        long offset = order.sampleOffset(sample) + (long) first;
        int done = 0;
        while (done < count) {
            long document = order.documentAt(position);
            int size = file.size(document);
            if (offset < size) {
                int piece = (int) Math.min(count - done, size - offset);
                file.copy(document, (int) offset, piece, target, targetByte + 4L * done);
                done += piece;
                offset += piece;
            }
            offset -= size;
            position++;
        }
    }

    /** Says where token {@code token} (0 to S) of a dataset index stands, for messages. */
    String describe(long datasetIndex, int token) {
        long sample = order.sampleAt(datasetIndex);
        long position = order.samplePosition(sample);
        long offset = order.sampleOffset(sample) + (long) token;
        while (offset >= file.size(order.documentAt(position))) {
            offset -= file.size(order.documentAt(position++));
        }
        return file.describe(order.documentAt(position), (int) offset);
    }
}
