package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.kernels.NumericVersion;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;

/** A device that counts how often it is closed. */
record ClosingDevice(Device device, AtomicInteger closed) implements Device {

    @Override
    public Kernels kernels() {
        return device.kernels();
    }

    @Override
    public Arena arena() {
        return device.arena();
    }

    @Override
    public void upload(Buffer to, MemorySegment from) {
        device.upload(to, from);
    }

    @Override
    public void download(MemorySegment to, Buffer from) {
        device.download(to, from);
    }

    @Override
    public String description() {
        return device.description();
    }

    @Override
    public NumericVersion numericVersion() {
        return device.numericVersion();
    }

    @Override
    public void close() {
        closed.incrementAndGet();
        device.close();
    }
}
