package castalia.workers.model;

import castalia.kernels.Buffer;

/**
 * A sum over tensor slices that is not finished: a matrix (R, C) per slice computed here. Where
 * ranks share the slices, each folds its own to one and all finish a block of rows each.
 *
 * @param slices the slices' matrices; folded into the first
 * @param folded blocks of the first
 * @param terms per rank its folded block of this rank's rows: received, or this rank's own
 */
@SuppressWarnings("ArrayRecordComponent") // views made once; never compared
record Partials(Buffer[] slices, RowBlocks folded, Buffer[] terms) {}
