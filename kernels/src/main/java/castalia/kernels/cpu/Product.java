package castalia.kernels.cpu;

/** A prepared product of one block shape, ready on every thread of its device. */
abstract class Product {

    /**
     * Computes on the calling thread.
     *
     * @param thread the caller's index in the device's pool; two calls on one index never overlap
     * @param bias address of the bias; not read if the shape has none
     */
    abstract void run(int thread, long out, long a, long b, long bias);
}
