package castalia.deploy.bench.determinism;

import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Gives an owner that asks for one rank's gradient of a chunk whichever came first: its sum is then
 * taken in the order of arrival, and its bits are a matter of chance.
 */
record ArrivalOrderTransport(Transport to, Arrivals arrivals) implements Transport {

    @Override
    public int rank() {
        return to.rank();
    }

    @Override
    public int ranks() {
        return to.ranks();
    }

    @Override
    public void send(int rank, FrameTag tag, MemorySegment payload) {
        to.send(rank, tag, payload);
        if (tag.kind() == Kind.PARTIAL_GRADIENT) {
            arrivals.add(rank, rank(), tag);
        }
    }

    private Arrivals.Arrival first(int from, FrameTag tag) {
        return tag.kind() == Kind.PARTIAL_GRADIENT
                ? arrivals.take(rank(), tag) : new Arrivals.Arrival(from, tag);
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        Arrivals.Arrival first = first(from, tag);
        to.receive(first.from(), first.tag(), into);
    }

    @Override
    public void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        List<Source> first = new ArrayList<>(sources.size());
        for (Source source : sources) {
            Arrivals.Arrival arrival = first(source.from(), source.tag());
            first.add(new Source(arrival.from(), arrival.tag()));
        }
        to.receive(first, rooms, parts);
    }

    @Override
    public void drain() {
        to.drain();
    }

    @Override
    public void drain(int rank) {
        to.drain(rank);
    }

    @Override
    public void serve(long version, @Nullable MemorySegment[] chunks) {
        to.serve(version, chunks);
    }

    @Override
    public void withdraw() {
        to.withdraw();
    }

    @Override
    public void fetch(int from, FrameTag tag, MemorySegment into) {
        to.fetch(from, tag, into);
    }

    @Override
    public void fetched(int from, FrameTag tag, MemorySegment into) {
        to.fetched(from, tag, into);
    }

    @Override
    public long waitedNanos() {
        return to.waitedNanos();
    }

    @Override
    public long sentBytes() {
        return to.sentBytes();
    }

    @Override
    public void close() {
        to.close();
    }
}
