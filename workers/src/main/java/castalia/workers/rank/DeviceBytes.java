package castalia.workers.rank;

import castalia.kernels.Buffer;
import castalia.kernels.Device;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/** The host's way to the bytes of a device's buffers, wherever they lie. */
public record DeviceBytes(Device device) {

    /** Copies a buffer to host memory of the same size. */
    public void download(MemorySegment to, Buffer from) {
        device.download(to, from);
    }

    /** Copies host memory to a buffer of the same size. */
    public void upload(Buffer to, MemorySegment from) {
        device.upload(to, from);
    }

    /** A buffer's content for the host to read: where it lies, or a copy. */
    public MemorySegment inHost(Buffer buffer, SegmentAllocator copies) {
        if (!device.owns(buffer.segment())) {
            return buffer.segment();
        }
        MemorySegment copy = copies.allocate(buffer.segment().byteSize(), Long.BYTES);
        device.download(copy, buffer);
        return copy;
    }

    /**
     * Inverts a bit of an element.
     *
     * @param element its number; counted on from the start where there are fewer
     */
    void flip(Buffer all, long element, int bit) {
        Buffer one = all.slice(element % all.elements(), 1);
        byte[] bytes = new byte[all.type().bytes()];
        device.download(MemorySegment.ofArray(bytes), one);
        bytes[bit / Byte.SIZE % bytes.length] ^= (byte) (1 << bit % Byte.SIZE);
        device.upload(one, MemorySegment.ofArray(bytes));
    }
}
