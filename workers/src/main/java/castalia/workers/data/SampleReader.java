package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** The tokens of the samples of a {@link SampleOrder}, read from its {@link TokenFile}. */
public final class SampleReader implements Samples {
    private final TokenFile file;
    private final SampleOrder order;

    /**
     * The file stays open and its caller's to close.
     *
     * @throws DataException if the order has a single sample
     */
    public SampleReader(TokenFile file, SampleOrder order) {
        if (order.request().endDocument() > file.sequences()) {
            throw new IllegalArgumentException("order over documents up to "
                    + order.request().endDocument() + ", file of " + file.sequences());
        }
        order.requireSamples();
        this.file = file;
        this.order = order;
    }

    public TokenFile file() {
        return file;
    }

    public SampleOrder order() {
        return order;
    }

    @Override
    public int sequenceLength() {
        return order.request().sequenceLength();
    }

    @Override
    public long length() {
        return order.length();
    }

    /** Copies the S + 1 tokens at a dataset index to the start of {@code target} as int32. */
    public void item(long datasetIndex, MemorySegment target) {
        tokens(datasetIndex, 0, sequenceLength() + 1, target, 0);
    }

    @Override
    public void tokens(
            long datasetIndex, int first, int count, MemorySegment target, long targetByte) {
        sampleTokens(order.sampleAt(datasetIndex), first, count, target, targetByte);
    }

    /** As {@link #tokens}, of a sample by its number before the shuffle. */
    void sampleTokens(long sample, int first, int count, MemorySegment target, long targetByte) {
        Objects.checkFromIndexSize(first, count, sequenceLength() + 1);
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

    @Override
    public List<Piece> pieces(long datasetIndex) {
        return samplePieces(order.sampleAt(datasetIndex));
    }

    List<Piece> samplePieces(long sample) {
        List<Piece> pieces = new ArrayList<>();
        long position = order.samplePosition(sample);
        long offset = order.sampleOffset(sample);
        int left = sequenceLength() + 1;
        while (left > 0) {
            long document = order.documentAt(position++);
            int count = (int) Math.min(left, file.size(document) - offset);
            if (count > 0) {
                pieces.add(new Piece(file.prefix().toString(), document, offset, count));
            }
            left -= count;
            offset = 0;
        }
        return pieces;
    }

    @Override
    public String describe(long datasetIndex, int token) {
        return describeSample(order.sampleAt(datasetIndex), token);
    }

    String describeSample(long sample, int token) {
        long position = order.samplePosition(sample);
        long offset = order.sampleOffset(sample) + (long) token;
        while (offset >= file.size(order.documentAt(position))) {
            offset -= file.size(order.documentAt(position++));
        }
        return file.describe(order.documentAt(position), (int) offset);
    }

    @Override
    public List<String> description() {
        List<String> lines = new ArrayList<>();
        lines.add("data.kind=tokens");
        lines.addAll(file.digest().lines());
        lines.addAll(order.request().lines());
        return List.copyOf(lines);
    }
}
