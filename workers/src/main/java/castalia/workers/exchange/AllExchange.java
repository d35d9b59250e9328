package castalia.workers.exchange;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntToLongFunction;

/** Every rank gives all others a payload whose size all know: for what happens between steps. */
public final class AllExchange {

    private AllExchange() {}

    /**
     * Exchanges; when it returns nothing of {@code own} is read any more.
     *
     * @param own this rank's payload
     * @param bytes size of each rank's payload
     * @param arena gives room for the others'
     * @return one payload per rank, ascending
     */
    public static List<MemorySegment> of(
            Transport transport, FrameTag tag, MemorySegment own, IntToLongFunction bytes,
            Arena arena) {
        int rank = transport.rank();
        for (int r = 0; r < transport.ranks(); r++) {
            if (r != rank) {
                transport.send(r, tag, own);
            }
        }
        List<MemorySegment> all = new ArrayList<>(transport.ranks());
        for (int r = 0; r < transport.ranks(); r++) {
            if (r == rank) {
                all.add(own);
            } else {
                MemorySegment into = arena.allocate(bytes.applyAsLong(r), 8);
                transport.receive(r, tag, into);
                all.add(into);
            }
        }
        transport.drain();
        return all;
    }
}
