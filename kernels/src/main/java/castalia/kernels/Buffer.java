package castalia.kernels;

import java.lang.foreign.MemorySegment;

/**
 * A typed range of device memory. A buffer does not own its memory: the {@link Arena} it was
 * allocated from does.
 *
 * @param type element type
 * @param elements number of elements
 * @param segment the memory: of the host for CPU back ends, an address range of the device (never
 *     dereferenced by the host) for others
 */
public record Buffer(DType type, long elements, MemorySegment segment) {

    public Buffer {
        if (elements < 0 || segment.byteSize() != elements * type.bytes()) {
            throw new IllegalArgumentException("buffer of " + elements + " " + type + " over "
                    + segment.byteSize() + " bytes");
        }
    }

    /** The view of {@code count} elements from {@code offset}; same memory. */
    public Buffer slice(long offset, long count) {
        return new Buffer(
                type, count, segment.asSlice(offset * type.bytes(), count * type.bytes()));
    }
}
