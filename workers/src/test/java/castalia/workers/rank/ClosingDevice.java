package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import java.util.concurrent.atomic.AtomicInteger;

/** A device that counts how often it is closed. */
final class ClosingDevice extends ForwardingDevice {

    private final AtomicInteger closed;

    ClosingDevice(Device device, AtomicInteger closed) {
        super(device);
        this.closed = closed;
    }

    @Override
    public void close() {
        closed.incrementAndGet();
        super.close();
    }
}
