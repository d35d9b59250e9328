package castalia.checkpoints.hub;

import java.util.List;

/**
 * A tensor as a safetensors header declares it.
 *
 * @param name its name
 * @param type element type
 * @param shape dimensions, row-major; empty for a single number
 */
public record TensorInfo(String name, TensorType type, List<Long> shape) {

    /** More dimensions than any tensor has. */
    static final int MAX_DIMENSIONS = 32;

    public TensorInfo {
        shape = List.copyOf(shape);
        if (shape.size() > MAX_DIMENSIONS) {
            throw new IllegalArgumentException(name + " has " + shape.size() + " dimensions");
        }
        long elements = 1;
        for (long dimension : shape) {
            if (dimension < 0) {
                throw new IllegalArgumentException(name + " has shape " + shape);
            }
            try {
                elements = Math.multiplyExact(elements, dimension);
                Math.multiplyExact(elements, (long) type.bytes());
            } catch (ArithmeticException e) {
                throw new IllegalArgumentException(
                        name + " of shape " + shape + " is larger than any file", e);
            }
        }
    }

    /** Number of elements. */
    public long elements() {
        return shape.stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
    }

    /** Size of the data. */
    public long bytes() {
        return elements() * type.bytes();
    }
}
