package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.kernels.NumericVersion;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;

/** A device whose logit gradients are infinite when a test says so; all else follows from that. */
final class OverflowingDevice implements Device {

    private static final int SCALE = 4;

    private final Device device;
    private final Kernels kernels;

    OverflowingDevice(Device device, AtomicBoolean overflow) {
        this.device = device;
        this.kernels = (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(),
                new Class<?>[] {Kernels.class}, (_, method, arguments) -> {
                    if (overflow.get() && method.getName().equals("softmaxGradient")) {
                        arguments[SCALE] = Float.POSITIVE_INFINITY;
                    }
                    try {
                        return method.invoke(device.kernels(), arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    @Override
    public Kernels kernels() {
        return kernels;
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
        device.close();
    }
}
