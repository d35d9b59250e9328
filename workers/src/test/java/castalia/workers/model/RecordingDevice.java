package castalia.workers.model;

import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** A device that notes which products are prepared and computed. */
final class RecordingDevice extends ForwardingDevice {

    private final Kernels kernels;
    private final Set<MatmulShape> multiplied = new LinkedHashSet<>();
    private List<MatmulShape> prepared = List.of();
    private long flops;

    RecordingDevice(Device device) {
        super(device);
        this.kernels = (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(),
                new Class<?>[] {Kernels.class}, (_, method, arguments) -> {
                    if (method.getName().startsWith("matmul")) {
                        MatmulShape shape = (MatmulShape) arguments[0];
                        multiplied.add(shape);
                        flops += shape.flops();
                    } else if (method.getName().equals("prepare")) {
                        prepared = ((List<?>) arguments[0]).stream()
                                .map(MatmulShape.class::cast).toList();
                    }
                    try {
                        return method.invoke(device.kernels(), arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** The shapes of all products computed. */
    Set<MatmulShape> multiplied() {
        return multiplied;
    }

    /** The shapes that were announced last. */
    List<MatmulShape> prepared() {
        return prepared;
    }

    /** Multiplications and additions of all products. */
    long flops() {
        return flops;
    }

    @Override
    public Kernels kernels() {
        return kernels;
    }
}
