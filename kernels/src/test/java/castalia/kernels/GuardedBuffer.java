package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A buffer in the middle of a larger allocation whose margins hold NaNs: a kernel that reads them
 * spoils its result, and one that writes them is found by {@link #assertUntouchedAround}.
 */
final class GuardedBuffer {

    private static final int MARGIN = 64;

    private final Device device;
    private final Buffer whole;
    private final Buffer inner;
    private final int before;

    /** @param shift elements by which the start is moved off the allocation's alignment */
    GuardedBuffer(Device device, Arena arena, DType type, long elements, int shift) {
        this.device = device;
        before = (MARGIN + shift) * type.bytes();
        whole = arena.allocate(type, MARGIN + shift + elements + MARGIN);
        inner = whole.slice(MARGIN + shift, elements);
    }

    Buffer buffer() {
        return inner;
    }

    /** Writes the margins, and {@code content} between them. */
    void write(byte[] content) {
        byte[] bytes = margins(content.length);
        System.arraycopy(content, 0, bytes, before, content.length);
        device.upload(whole, MemorySegment.ofArray(bytes));
    }

    /** What lies between the margins. */
    byte[] read() {
        return Arrays.copyOfRange(readAll(), before, before + (int) inner.segment().byteSize());
    }

    void assertUntouchedAround(String name) {
        byte[] bytes = readAll();
        int inside = (int) inner.segment().byteSize();
        Arrays.fill(bytes, before, before + inside, (byte) 0xFF);
        assertThat(bytes).as("memory before and behind %s", name).isEqualTo(margins(inside));
    }

    private byte[] readAll() {
        byte[] bytes = new byte[(int) whole.segment().byteSize()];
        device.download(MemorySegment.ofArray(bytes), whole);
        return bytes;
    }

    /** All bits set: a NaN in every floating type, -1 as an integer. */
    private byte[] margins(int inside) {
        assertThat(inside).isEqualTo((int) inner.segment().byteSize());
        byte[] bytes = new byte[(int) whole.segment().byteSize()];
        Arrays.fill(bytes, (byte) 0xFF);
        return bytes;
    }
}
