package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.protocol.layout.SliceBlock;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * Where tensor slices meet: sums over all of them, and rows that one of them has.
 *
 * <p>A rank's block of slices is a complete subtree of the canonical tree, so it is folded to one
 * F32 partial first. Then every rank gets all partials of a block of rows, finishes the tree there,
 * does what follows row by row (residual addition, rounding) and gives the result to the others. The
 * bits are those of one rank with all slices; the traffic of a rank is twice the matrix, whatever t.
 */
final class SliceJoin {

    private final ModelPlan plan;
    private final Kernels kernels;
    private final Arena arena;
    private final int position;
    private final int ranks;
    private final int count;
    private final int firstRow;
    private final int rows;
    private SliceExchange exchange = SliceExchange.ALONE;

    /** @param slices the block of slices computed here: an aligned 1/t of all, t a power of two */
    SliceJoin(ModelPlan plan, SliceBlock slices, Kernels kernels, Arena arena) {
        this.count = slices.count();
        if (count < 1 || plan.slices() % count != 0 || slices.first() % count != 0
                || Integer.bitCount(plan.slices() / count) != 1
                || (count < plan.slices() && Integer.bitCount(count) != 1)) {
            throw new IllegalArgumentException(slices + " of " + plan.slices()
                    + " tensor slices is no equal part by a power of two");
        }
        this.plan = plan;
        this.kernels = kernels;
        this.arena = arena;
        this.ranks = plan.slices() / count;
        this.position = slices.first() / count;
        this.firstRow = RowBlocks.first(plan.rows(), ranks, position);
        this.rows = RowBlocks.first(plan.rows(), ranks, position + 1) - firstRow;
    }

    /** Replaces the exchange. */
    void connect(SliceExchange with) {
        if (with.ranks() != ranks || with.position() != position) {
            throw new IllegalArgumentException("an exchange of rank " + with.position() + " of "
                    + with.ranks() + " for slices of rank " + position + " of " + ranks);
        }
        exchange = with;
    }

    /** Whether all slices are computed here. */
    boolean alone() {
        return ranks == 1;
    }

    /** Number of slices computed here. */
    int count() {
        return count;
    }

    /** Number in the layout of a slice computed here. */
    int slice(int i) {
        return position * count + i;
    }

    int ranks() {
        return ranks;
    }

    int position() {
        return position;
    }

    /** One buffer per slice computed here. */
    Buffer[] perSlice(IntFunction<Buffer> make) {
        Buffer[] all = new Buffer[count];
        for (int i = 0; i < count; i++) {
            all[i] = make.apply(i);
        }
        return all;
    }

    /** The row blocks of a matrix (R, C). */
    RowBlocks blocks(Buffer whole) {
        return RowBlocks.of(whole, plan.rows(), plan.hidden(), ranks, position);
    }

    /**
     * Partials over new memory.
     *
     * @param received memory of {@link #received}; two partials that are under way at once need two
     */
    Partials partials(Buffer received) {
        long full = (long) plan.rows() * plan.hidden();
        return partials(perSlice(_ -> arena.allocate(DType.F32, full)), received);
    }

    /** Partials over memory of the caller. */
    Partials partials(Buffer[] slices, Buffer received) {
        RowBlocks folded = blocks(slices[0]);
        return new Partials(slices, folded, terms(folded, received, slices[0].type()));
    }

    private Buffer[] terms(RowBlocks own, Buffer received, DType type) {
        Buffer[] terms = new Buffer[ranks];
        long each = (long) rows * plan.hidden();
        for (int p = 0; p < ranks; p++) {
            long at = (p - (p > position ? 1 : 0)) * each;
            terms[p] = p == position ? own.parts()[p]
                    : new Buffer(type, each, received.slice(at, each).segment()
                            .asSlice(0, each * type.bytes()));
        }
        return terms;
    }

    /** Memory for what the other ranks give; nothing where there are none. */
    Buffer received() {
        return arena.allocate(DType.F32, (ranks - 1L) * rows * plan.hidden());
    }

    /** Starts a pass. */
    void begin() {
        if (ranks > 1) {
            exchange.begin();
        }
    }

    /** To be called before memory that was given to others is written again. */
    void settle() {
        if (ranks > 1) {
            exchange.settle();
        }
    }

    /**
     * The sum of partials, the biases and the residual: {@code out} may not be {@code x} where ranks
     * share the slices.
     */
    void residual(RowBlocks out, RowBlocks x, Partials partials, Buffer bias1,
            @Nullable Buffer bias2) {
        int copies = plan.shape().publishedModelParallel();
        if (ranks == 1) {
            kernels.residual(out.whole(), x.whole(), partials.slices(), bias1, bias2, copies,
                    plan.rows(), plan.hidden());
            return;
        }
        give(partials);
        exchange.receive(partials.terms());
        if (rows > 0) {
            kernels.residual(out.parts()[position], x.parts()[position], partials.terms(), bias1,
                    bias2, copies, rows, plan.hidden());
        }
        gather(out);
    }

    /** Starts a sum: folds the partials and gives them away. {@link #sum} is to follow. */
    void give(Partials partials) {
        if (ranks == 1) {
            return;
        }
        Buffer folded = partials.folded().whole();
        if (count > 1) {
            kernels.sumPartials(folded, partials.slices(), folded.elements());
        }
        giveFolded(partials);
    }

    /** As {@link #give} for partials that are folded already; not for a rank alone. */
    void giveFolded(Partials partials) {
        exchange.send(partials.folded().parts());
    }

    /**
     * Rounds the sum of partials: all of it, or this rank's rows, which it then gives to the others.
     * {@link #take} is to follow. Partials of a single slice of a single rank are the sum itself.
     */
    void sum(RowBlocks out, Partials partials) {
        if (ranks == 1) {
            if (count > 1) {
                kernels.sumPartials(out.whole(), partials.slices(), out.whole().elements());
            }
            return;
        }
        exchange.receive(partials.terms());
        Buffer own = out.parts()[position];
        kernels.sumPartials(own, partials.terms(), own.elements());
        exchange.send(out.own());
    }

    /** Waits for the rows of the other ranks. */
    void take(RowBlocks out) {
        if (ranks > 1) {
            exchange.receive(out.parts());
        }
    }

    /** Gives this rank's block to the others and waits for theirs. */
    void gather(RowBlocks blocks) {
        if (ranks > 1) {
            exchange.send(blocks.own());
            exchange.receive(blocks.parts());
        }
    }

    /**
     * Brings every row of {@code out (R, C)} from the rank that has its token.
     *
     * @param mine in the rows of tokens of this rank's vocabulary slices what belongs there
     * @param tokens of all rows
     * @param received memory of {@link #received}
     */
    void tokens(RowBlocks out, RowBlocks mine, Buffer tokens, Buffer received) {
        // Views are made anew: this happens once per pass.
        Buffer[] terms = terms(mine, received, mine.whole().type());
        exchange.send(mine.parts());
        exchange.receive(terms);
        if (rows > 0) {
            Buffer own = tokens.slice(firstRow, rows);
            int share = count * plan.sliceVocabulary();
            for (int p = 0; p < ranks; p++) {
                kernels.selectRows(out.parts()[position], terms[p], own, p * share, rows,
                        plan.hidden(), share);
            }
        }
        gather(out);
    }
}
