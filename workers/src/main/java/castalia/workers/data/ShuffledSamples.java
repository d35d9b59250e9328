package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A pre-shuffled token file, as the Pile was published for Pythia: every sequence is one sample of
 * S + 1 tokens, and they stand in the order in which they are trained on. Dataset index i is
 * sequence i.
 */
public final class ShuffledSamples implements Samples {
    private final TokenFile file;
    private final int sequenceLength;

    /**
     * The file stays open and its caller's to close.
     *
     * @throws DataException if a sequence has another length
     */
    public ShuffledSamples(TokenFile file, int sequenceLength) {
        for (long i = 0; i < file.sequences(); i++) {
            if (file.size(i) != sequenceLength + 1) {
                throw new DataException(TokenFile.indexPath(file.prefix()) + ": sequence " + i
                        + " has " + file.size(i) + " tokens; in a pre-shuffled file for sequences"
                        + " of " + sequenceLength + " all have " + (sequenceLength + 1)
                        + ". Choose the order neox for a file of documents");
            }
        }
        this.file = file;
        this.sequenceLength = sequenceLength;
    }

    @Override
    public int sequenceLength() {
        return sequenceLength;
    }

    @Override
    public long length() {
        return file.sequences();
    }

    private long within(long datasetIndex) {
        if (datasetIndex < 0 || datasetIndex >= file.sequences()) {
            throw new DataException(file.prefix() + ": sample " + datasetIndex
                    + " is asked for, the pre-shuffled file holds " + file.sequences());
        }
        return datasetIndex;
    }

    @Override
    public void tokens(
            long datasetIndex, int first, int count, MemorySegment target, long targetByte) {
        Objects.checkFromIndexSize(first, count, sequenceLength + 1);
        file.copy(within(datasetIndex), first, count, target, targetByte);
    }

    @Override
    public List<Piece> pieces(long datasetIndex) {
        return List.of(new Piece(
                file.prefix().toString(), within(datasetIndex), 0, sequenceLength + 1));
    }

    @Override
    public String describe(long datasetIndex, int token) {
        return file.describe(within(datasetIndex), token);
    }

    @Override
    public List<String> description() {
        List<String> lines = new ArrayList<>();
        lines.add("data.kind=tokens");
        lines.addAll(file.digest().lines());
        lines.add("order=preshuffled");
        lines.add("order.sequence=" + sequenceLength);
        return List.copyOf(lines);
    }
}
