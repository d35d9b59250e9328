package castalia.workers.exchange;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.PeerMemory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A device as a GPU in other processes' reach: the host does not touch its memory, but devices of its
 * kind in this process read it, as if each were in a process of its own. Memory of an arena that is
 * closed is filled with nonsense, so that whoever reads it is found out, and never freed.
 */
public final class SharedDevice extends ForwardingDevice {

    /** Bytes copied or read from other devices' memory, by all. */
    public static final AtomicLong READ_BYTES = new AtomicLong();

    private static final byte NONSENSE = (byte) 0xdb;

    private final NavigableMap<Long, Long> ends = new ConcurrentSkipListMap<>();
    private final boolean reached;

    /** @param reached whether others reach it */
    public SharedDevice(Device device, boolean reached) {
        super(device);
        this.reached = reached;
    }

    @Override
    public boolean inHostMemory() {
        return false;
    }

    @Override
    public boolean owns(MemorySegment memory) {
        Map.Entry<Long, Long> range =
                memory.isNative() ? ends.floorEntry(memory.address()) : null;
        return range != null && memory.address() < range.getValue();
    }

    @Override
    public Arena arena() {
        return new Poisoned(super.arena());
    }

    @Override
    public Optional<PeerMemory> peerMemory() {
        return reached ? Optional.of(new Memory()) : Optional.empty();
    }

    private final class Poisoned implements Arena {

        private final Arena arena;
        private final List<Buffer> all = new ArrayList<>();
        private boolean closed;

        Poisoned(Arena arena) {
            this.arena = arena;
        }

        @Override
        public Buffer allocate(DType type, long elements) {
            Buffer buffer = arena.allocate(type, elements);
            long address = buffer.segment().address();
            all.add(buffer);
            ends.put(address, address + Math.max(1, buffer.segment().byteSize()));
            return buffer;
        }

        @Override
        public long allocatedBytes() {
            return closed ? 0 : arena.allocatedBytes();
        }

        @Override
        public void close() {
            if (!closed) {
                closed = true;
                all.forEach(buffer -> {
                    buffer.segment().fill(NONSENSE);
                    ends.remove(buffer.segment().address());
                });
            }
        }
    }

    /** Places are addresses: all of this is in one process. */
    private static final class Memory implements PeerMemory {

        @Override
        public String machine() {
            return "this";
        }

        @Override
        public void place(MemorySegment to, MemorySegment memory) {
            to.set(ValueLayout.JAVA_LONG_UNALIGNED, 0, memory.address());
            to.set(ValueLayout.JAVA_LONG_UNALIGNED, 8, memory.byteSize());
        }

        @Override
        public void forget() {}

        @Override
        public void copy(MemorySegment to, MemorySegment from) {
            to.copyFrom(from);
        }

        @Override
        public Peer peer() {
            return new Peer() {
                private boolean closed;

                @Override
                public @Nullable MemorySegment open(MemorySegment place) {
                    if (closed) {
                        throw new IllegalStateException("closed");
                    }
                    long bytes = place.get(ValueLayout.JAVA_LONG_UNALIGNED, 8);
                    READ_BYTES.addAndGet(bytes);
                    return MemorySegment.ofAddress(place.get(ValueLayout.JAVA_LONG_UNALIGNED, 0))
                            .reinterpret(bytes);
                }

                @Override
                public void close() {
                    closed = true;
                }
            };
        }
    }
}
