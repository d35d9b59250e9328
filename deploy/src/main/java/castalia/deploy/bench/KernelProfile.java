package castalia.deploy.bench;

import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import castalia.kernels.Repetition;
import castalia.workers.model.ModelPlan;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Measures where the kernels of one device spend their time. Used by one thread. */
public final class KernelProfile {

    /**
     * What one kernel took.
     *
     * @param kernel name; products have that of their place in the model
     * @param calls calls per step
     * @param ms milliseconds per step
     * @param share of the whole step
     * @param gflops billions of floating-point operations per second, 0 where none are counted
     * @param gb_per_s bytes of the operands, each once, in billions per second
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Line(
            String kernel, double calls, double ms, double share, double gflops, double gb_per_s) {}

    private static final class Sum {
        long calls;
        long nanos;
        double flops;
        double bytes;
    }

    /** By the shape of a product, or the name of another operation. */
    private final Map<Object, Sum> sums = new HashMap<>();

    /** The same device, measured; it is closed with the result. */
    public Device around(Device device) {
        Kernels kernels = device.kernels();
        Kernels measured = (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(),
                new Class<?>[] {Kernels.class},
                (_, method, arguments) -> call(kernels, method, arguments));
        return new Measured(device, measured);
    }

    private Object call(Kernels kernels, Method method, Object[] arguments) throws Throwable {
        long start = System.nanoTime();
        try {
            return method.invoke(kernels, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        } finally {
            long nanos = System.nanoTime() - start;
            Object key = arguments.length > 0 && arguments[0] instanceof MatmulShape shape
                    ? shape
                    : method.getName();
            Sum sum = sums.computeIfAbsent(key, _ -> new Sum());
            sum.calls++;
            sum.nanos += nanos;
            sum.flops += flops(method.getName(), arguments);
            for (Object argument : arguments) {
                sum.bytes += bytes(argument);
            }
            if (key.equals("embedding")) {
                // Of the table as many rows are read as are written.
                sum.bytes += bytes(arguments[0]) - bytes(arguments[2]);
            }
        }
    }

    private static double flops(String name, Object[] arguments) {
        if (arguments.length > 0 && arguments[0] instanceof MatmulShape shape) {
            return shape.flops();
        }
        // Two products forward, five backward, over half of the full square.
        return switch (name) {
            case "attention" -> 2 * square(arguments, 3);
            case "attentionBackward" -> 5 * square(arguments, 5);
            default -> 0;
        };
    }

    /** batch x sequence x sequence x heads x dimension, which lie one behind the other. */
    private static double square(Object[] arguments, int at) {
        double sequence = (int) arguments[at + 1];
        return (int) arguments[at] * sequence * sequence * (int) arguments[at + 2]
                * (int) arguments[at + 3];
    }

    private static double bytes(Object argument) {
        return switch (argument) {
            case Buffer buffer -> buffer.segment().byteSize();
            case Buffer[] buffers -> {
                double sum = 0;
                for (Buffer buffer : buffers) {
                    sum += bytes(buffer);
                }
                yield sum;
            }
            case null, default -> 0;
        };
    }

    /** Forgets what was measured so far. */
    public void clear() {
        sums.clear();
    }

    /** Every kernel, those that took most first, and at the end what was outside kernels. */
    public List<Line> lines(ModelPlan plan, int steps, double seconds) {
        Map<MatmulShape, String> names = names(plan);
        double inside = sums.values().stream().mapToLong(sum -> sum.nanos).sum() * 1e-9;
        List<Line> lines = new java.util.ArrayList<>(sums.entrySet().stream()
                .map(entry -> line(name(entry.getKey(), names), entry.getValue(), steps, seconds))
                .sorted(Comparator.comparingDouble(line -> -line.ms()))
                .toList());
        lines.add(new Line("outside kernels", 0, StepBench.round((seconds - inside) / steps * 1e3, 3),
                StepBench.round((seconds - inside) / seconds, 4), 0, 0));
        return lines;
    }

    private static Line line(String name, Sum sum, int steps, double seconds) {
        return new Line(name, (double) sum.calls / steps,
                StepBench.round(sum.nanos * 1e-6 / steps, 3),
                StepBench.round(sum.nanos * 1e-9 / seconds, 4),
                StepBench.round(sum.flops / sum.nanos, 1), StepBench.round(sum.bytes / sum.nanos, 1));
    }

    private static String name(Object key, Map<MatmulShape, String> names) {
        return key instanceof MatmulShape shape
                ? "product " + names.getOrDefault(shape, shape.inWords())
                : key.toString().replaceAll("([A-Z])", " $1").toLowerCase(Locale.ROOT);
    }

    /** What the products of a model are for; some shapes have several uses. */
    private static Map<MatmulShape, String> names(ModelPlan plan) {
        Map<MatmulShape, String> names = new LinkedHashMap<>();
        put(names, "qkv forward", plan.qkv());
        put(names, "up forward", plan.up());
        put(names, "dense forward", plan.dense());
        put(names, "down forward", plan.down());
        put(names, "down forward", plan.down().accumulating());
        put(names, "qkv dx", plan.qkvInput());
        put(names, "up dx", plan.upInput());
        put(names, "dense dx", plan.denseInput());
        put(names, "down dx", plan.downInput());
        weight(names, "qkv dw", plan.qkvWeight());
        weight(names, "up dw", plan.upWeight());
        weight(names, "dense dw", plan.denseWeight());
        weight(names, "down dw", plan.downWeight());
        for (int rows : plan.sweeps()) {
            put(names, "head forward", plan.logits(rows));
            put(names, "head dx", plan.headInput(rows));
            if (plan.headParts() > 1) {
                put(names, "head dx added", plan.headInput(rows).accumulating());
            }
            weight(names, "head dw", plan.headWeight(rows));
        }
        return names;
    }

    private static void weight(Map<MatmulShape, String> names, String name, MatmulShape shape) {
        put(names, name, shape);
        put(names, name + " added", shape.accumulating());
    }

    private static void put(Map<MatmulShape, String> names, String name, MatmulShape shape) {
        names.merge(shape, name, (known, more) -> known.equals(more) ? known : known + ", " + more);
    }

    private static final class Measured extends ForwardingDevice {

        private final Kernels kernels;

        Measured(Device device, Kernels kernels) {
            super(device);
            this.kernels = kernels;
        }

        @Override
        public Kernels kernels() {
            return kernels;
        }

        /** What is recorded is not seen. */
        @Override
        public Repetition repetition() {
            return Repetition.OFF;
        }
    }
}
