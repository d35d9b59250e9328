package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The samples of a run by dataset index: S + 1 tokens at each. Values never change; safe for
 * several threads. Reading allocates nothing.
 */
public interface Samples {
    /** S; a sample has one token more. */
    int sequenceLength();

    /** The number of dataset indices. */
    long length();

    /**
     * Copies tokens [first, first + count) of the S + 1 at a dataset index to {@code target} as
     * int32 from byte {@code targetByte} on.
     *
     * @throws DataException if a token cannot be read
     */
    void tokens(long datasetIndex, int first, int count, MemorySegment target, long targetByte);

    /** The pieces of documents a dataset index consists of, in order. */
    List<Piece> pieces(long datasetIndex);

    /** Says where token {@code token} (0 to S) of a dataset index stands and what it is. */
    String describe(long datasetIndex, int token);

    /** What is read and in which order, as {@code name=value} lines for the specification's hash. */
    List<String> description();

    /**
     * Consecutive tokens of one document.
     *
     * @param file prefix of the token file
     * @param sequence the document: a sequence of the token file
     * @param offset the first token within it
     * @param count how many
     */
    record Piece(String file, long sequence, long offset, int count) {}

    /** The S + 1 tokens at a dataset index. */
    default int[] item(long datasetIndex) {
        int[] tokens = new int[sequenceLength() + 1];
        tokens(datasetIndex, 0, tokens.length, MemorySegment.ofArray(tokens), 0);
        return tokens;
    }
}
