package castalia.workers.model;

import castalia.kernels.Buffer;
import java.util.Arrays;

/**
 * A matrix cut into blocks of rows, one per rank of a replica: each rank finishes one block and
 * gives it to the others.
 *
 * @param whole the matrix
 * @param parts its blocks in order, by rank; some are empty where there are fewer rows than ranks
 * @param own this rank's block, once for every rank it is given to
 */
@SuppressWarnings("ArrayRecordComponent") // views made once; never compared
record RowBlocks(Buffer whole, Buffer[] parts, Buffer[] own) {

    /** The blocks of a matrix (rows, columns). */
    static RowBlocks of(Buffer whole, int rows, int columns, int ranks, int position) {
        Buffer[] parts = new Buffer[ranks];
        for (int p = 0; p < ranks; p++) {
            long first = (long) first(rows, ranks, p) * columns;
            parts[p] = whole.slice(first, (long) first(rows, ranks, p + 1) * columns - first);
        }
        Buffer[] own = new Buffer[ranks];
        Arrays.fill(own, parts[position]);
        return new RowBlocks(whole, parts, own);
    }

    /** First row of a rank's block. */
    static int first(int rows, int ranks, int position) {
        return Math.toIntExact((long) rows * position / ranks);
    }
}
