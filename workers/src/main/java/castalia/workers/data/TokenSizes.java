package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Objects;

/** The lengths in an index file, mapped and checked, without the tokens. Safe for several threads. */
public final class TokenSizes implements SequenceSizes, AutoCloseable {
    private final Arena arena;
    private final MemorySegment index;
    private final TokenIndex header;

    private TokenSizes(Arena arena, MemorySegment index, TokenIndex header) {
        this.arena = arena;
        this.index = index;
        this.header = header;
    }

    /**
     * Opens {@code prefix.idx}.
     *
     * @throws DataException if it is missing or damaged
     */
    @SuppressWarnings("MustBeClosedChecker") // the object owns the arena and closes it
    public static TokenSizes open(Path prefix) {
        Path path = TokenFile.indexPath(prefix);
        Arena arena = Arena.ofShared();
        try {
            MemorySegment index = Mapped.file(path, arena);
            return new TokenSizes(arena, index, TokenIndex.read(path, index));
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        } catch (InternalError e) {
            arena.close();
            throw new DataException(path + ": cannot be read; it shrank while it was opened, or the"
                    + " storage failed. Check the storage and try again", e);
        }
    }

    @Override
    public long sequences() {
        return header.sequences();
    }

    @Override
    public int size(long sequence) {
        Objects.checkIndex(sequence, header.sequences());
        return index.get(TokenDtype.INT, header.sizeAt(sequence));
    }

    @Override
    public void close() {
        arena.close();
    }
}
