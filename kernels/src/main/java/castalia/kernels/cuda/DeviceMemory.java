package castalia.kernels.cuda;

import castalia.kernels.OutOfDeviceMemoryException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A device's memory, taken from the driver in slabs that are kept until the device is closed and
 * cut up here, so that addresses are stable and the driver is asked seldom. The smallest free
 * range that is large enough is taken. The context is current in every call.
 */
final class DeviceMemory implements AutoCloseable {

    /** Alignment of every allocation. */
    static final long ALIGNMENT = 256;

    private static final long SLAB = 32L << 20;

    private final long limitBytes;
    private final List<NativePointer.Memory> slabs = new ArrayList<>();
    private final TreeMap<Long, Long> slabEnds = new TreeMap<>();
    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final Set<Long> lent = new HashSet<>();
    private long slabBytes;
    private long heldBytes;

    DeviceMemory(long limitBytes) {
        this.limitBytes = limitBytes;
    }

    private static long rounded(long bytes) {
        return Math.max(1, (bytes + ALIGNMENT - 1) / ALIGNMENT) * ALIGNMENT;
    }

    /**
     * Address of undefined memory.
     *
     * @throws OutOfDeviceMemoryException if the limit or the device has no room
     */
    synchronized long allocate(long bytes) {
        long needed = rounded(bytes);
        if (heldBytes + needed > limitBytes) {
            throw new OutOfDeviceMemoryException(bytes, "the CUDA device may hold " + limitBytes
                    + " bytes and holds " + heldBytes + "; " + bytes + " more do not fit");
        }
        long address = take(needed);
        if (address == 0) {
            grow(needed);
            address = take(needed);
        }
        heldBytes += needed;
        return address;
    }

    private long take(long bytes) {
        long address = 0;
        long smallest = Long.MAX_VALUE;
        for (Map.Entry<Long, Long> range : free.entrySet()) {
            if (range.getValue() >= bytes && range.getValue() < smallest) {
                address = range.getKey();
                smallest = range.getValue();
            }
        }
        Long size = free.remove(address);
        if (size == null) {
            return 0;
        }
        if (size > bytes) {
            free.put(address + bytes, size - bytes);
        }
        return address;
    }

    private void grow(long bytes) {
        if (slabBytes + Math.max(bytes, SLAB) > limitBytes) {
            slabs.removeIf(this::gone); // ranges never join across slabs
        }
        long size = Math.max(bytes, Math.min(SLAB, limitBytes - slabBytes));
        NativePointer.Memory slab = new NativePointer.Memory();
        int code = Driver.allocate(slab, size);
        if (code == Results.OUT_OF_MEMORY) {
            throw new OutOfDeviceMemoryException(bytes, "the GPU has no " + size
                    + " bytes left; this process holds " + slabBytes + " of it");
        }
        Results.require(code, "cuMemAlloc");
        slabs.add(slab);
        slabBytes += size;
        slabEnds.put(slab.address(), slab.address() + size);
        free.put(slab.address(), size);
    }

    /** Gives a slab back to the driver, which waits for its work, where nothing lies in it. */
    private boolean gone(NativePointer.Memory slab) {
        long start = slab.address();
        long size = slabEnds.getOrDefault(start, start) - start;
        if (free.getOrDefault(start, 0L) != size || lent.contains(start)) {
            return false;
        }
        Driver.free(slab);
        free.remove(start);
        slabEnds.remove(start);
        slabBytes -= size;
        return true;
    }

    /** Gives memory of {@link #allocate} back; no work that uses it may be pending. */
    synchronized void release(long address, long bytes) {
        long size = rounded(bytes);
        long start = address;
        long end = address + size;
        heldBytes -= size;
        Map.Entry<Long, Long> before = free.lowerEntry(start);
        if (before != null && before.getKey() + before.getValue() == start
                && !slabEnds.containsKey(start)) {
            free.remove(before.getKey());
            start = before.getKey();
        }
        Long behind = free.get(end);
        if (behind != null && !slabEnds.containsKey(end)) {
            free.remove(end);
            end += behind;
        }
        free.put(start, end - start);
    }

    /**
     * What the driver gave at once.
     *
     * @param memory for the driver
     * @param address its first byte
     */
    record Slab(NativePointer.Memory memory, long address, long bytes) {}

    /** The slab of an address. It is not given back to the driver: others read it. */
    synchronized Slab lend(long address) {
        for (NativePointer.Memory slab : slabs) {
            long end = slabEnds.getOrDefault(slab.address(), 0L);
            if (slab.address() <= address && address < end) {
                lent.add(slab.address());
                return new Slab(slab, slab.address(), end - slab.address());
            }
        }
        throw new IllegalArgumentException("no memory of this device");
    }

    /** Nobody else reads any slab any more. */
    synchronized void takeBack() {
        lent.clear();
    }

    synchronized boolean contains(long address) {
        Map.Entry<Long, Long> slab = slabEnds.floorEntry(address);
        return slab != null && address < slab.getValue();
    }

    /** Bytes that are allocated. */
    synchronized long heldBytes() {
        return heldBytes;
    }

    @Override
    public synchronized void close() {
        slabs.forEach(Driver::free);
        slabs.clear();
        free.clear();
    }
}
