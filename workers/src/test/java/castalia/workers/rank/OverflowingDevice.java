package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.Kernels;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;

/** A device whose logit gradients are infinite when a test says so; all else follows from that. */
final class OverflowingDevice extends ForwardingDevice {

    private static final int SCALE = 5;

    private final Kernels kernels;

    OverflowingDevice(Device device, AtomicBoolean overflow) {
        super(device);
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
}
