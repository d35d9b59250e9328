package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A transport for a device whose memory the host may not touch: payloads there go through host
 * memory, what lies in host memory anyway goes as it is. Results do not depend on it.
 */
public final class StagedTransport implements Transport {

    private static final long ALIGNMENT = 64;

    /** A payload's copy, and to whom it is on its way. */
    private record Sent(MemorySegment copy, Set<Integer> receivers) {}

    private final Transport transport;
    private final Device device;
    private final Arena arena = Arena.ofShared();
    private final Map<Long, Deque<MemorySegment>> free = new HashMap<>();
    private final Map<MemorySegment, Sent> sent = new HashMap<>();
    private final Map<Source, MemorySegment> expected = new HashMap<>();
    private final Map<Source, MemorySegment> fetching = new HashMap<>();
    private final List<MemorySegment> served = new ArrayList<>();

    private StagedTransport(Transport transport, Device device) {
        this.transport = transport;
        this.device = device;
    }

    /** The transport itself where the host reaches the device's memory. */
    public static Transport of(Transport transport, Device device) {
        return device.inHostMemory() ? transport : new StagedTransport(transport, device);
    }

    private MemorySegment take(long bytes) {
        Deque<MemorySegment> left = free.get(bytes);
        MemorySegment known = left == null ? null : left.poll();
        return known != null ? known : arena.allocate(bytes, ALIGNMENT);
    }

    private void giveBack(MemorySegment memory) {
        free.computeIfAbsent(memory.byteSize(), _ -> new ArrayDeque<>()).push(memory);
    }

    /** Device memory as a buffer: every type of element that is sent has an even size. */
    private static Buffer buffer(MemorySegment memory) {
        return new Buffer(DType.BF16, memory.byteSize() / Short.BYTES, memory);
    }

    @Override
    public int rank() {
        return transport.rank();
    }

    @Override
    public int ranks() {
        return transport.ranks();
    }

    @Override
    public void send(int to, FrameTag tag, MemorySegment payload) {
        if (!device.owns(payload)) {
            transport.send(to, tag, payload);
            return;
        }
        // Until it is drained the payload does not change, so one copy serves all receivers.
        Sent staged = sent.get(payload);
        if (staged == null) {
            staged = new Sent(take(payload.byteSize()), new HashSet<>());
            device.download(staged.copy, buffer(payload));
            sent.put(payload, staged);
        }
        staged.receivers.add(to);
        transport.send(to, tag, staged.copy);
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        if (!device.owns(into)) {
            transport.receive(from, tag, into);
            return;
        }
        MemorySegment promised = expected.remove(new Source(from, tag));
        MemorySegment copy = promised != null ? promised : take(into.byteSize());
        transport.receive(from, tag, copy);
        device.upload(buffer(into), copy);
        giveBack(copy);
    }

    @Override
    public void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        if (device.owns(rooms[0])) {
            Transport.super.receive(sources, rooms, parts);
        } else {
            transport.receive(sources, rooms, parts);
        }
    }

    @Override
    public void expect(int from, FrameTag tag, MemorySegment into) {
        if (!device.owns(into)) {
            transport.expect(from, tag, into);
            return;
        }
        MemorySegment copy = expected.computeIfAbsent(
                new Source(from, tag), _ -> take(into.byteSize()));
        transport.expect(from, tag, copy);
    }

    @Override
    public void forget() {
        transport.forget();
        expected.values().forEach(this::giveBack);
        expected.clear();
    }

    @Override
    public void drain(int to) {
        transport.drain(to);
        Iterator<Sent> all = sent.values().iterator();
        while (all.hasNext()) {
            Sent each = all.next();
            if (each.receivers.remove(to) && each.receivers.isEmpty()) {
                all.remove();
                giveBack(each.copy);
            }
        }
    }

    @Override
    public void drain() {
        transport.drain();
        sent.values().forEach(each -> giveBack(each.copy));
        sent.clear();
    }

    @Override
    public long waitedNanos() {
        return transport.waitedNanos();
    }

    @Override
    public void serve(long version, @Nullable MemorySegment[] chunks) {
        @Nullable MemorySegment[] copies = new MemorySegment[chunks.length];
        for (int c = 0; c < chunks.length; c++) {
            MemorySegment chunk = chunks[c];
            if (chunk != null && device.owns(chunk)) {
                MemorySegment copy = take(chunk.byteSize());
                device.download(copy, buffer(chunk));
                served.add(copy);
                copies[c] = copy;
            } else if (chunk != null) {
                copies[c] = chunk;
            }
        }
        transport.serve(version, copies);
    }

    @Override
    public void withdraw() {
        transport.withdraw();
        served.forEach(this::giveBack);
        served.clear();
    }

    @Override
    public void fetch(int from, FrameTag tag, MemorySegment into) {
        if (!device.owns(into)) {
            transport.fetch(from, tag, into);
            return;
        }
        MemorySegment copy = take(into.byteSize());
        fetching.put(new Source(from, tag), copy);
        transport.fetch(from, tag, copy);
    }

    @Override
    public void fetched(int from, FrameTag tag, MemorySegment into) {
        MemorySegment copy = fetching.remove(new Source(from, tag));
        if (copy == null) {
            transport.fetched(from, tag, into);
            return;
        }
        transport.fetched(from, tag, copy);
        device.upload(buffer(into), copy);
        giveBack(copy);
    }

    @Override
    public long sentBytes() {
        return transport.sentBytes();
    }

    @Override
    public void close() {
        transport.close();
        arena.close();
    }
}
