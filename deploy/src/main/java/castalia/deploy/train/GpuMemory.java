package castalia.deploy.train;

/** How much of a GPU's memory the processes that share it may use. */
final class GpuMemory {

    /**
     * Kept free for every process on a GPU: its context, kernels and libraries, and what the driver's
     * pieces leave over. On a small device a sixteenth of the process's share.
     */
    static final long RESERVE_BYTES = 1L << 30;

    /** Working memory of products and attention, beside tensors; on a small device an eighth. */
    static final long WORKING_BYTES = 256L << 20;

    private static final int RESERVE_PART = 16;
    private static final int WORKING_PART = 8;

    private GpuMemory() {}

    /** Most bytes that a process may allocate. */
    static long limit(long deviceBytes, int processes) {
        long share = deviceBytes / processes;
        return Math.max(1, share - Math.min(RESERVE_BYTES, share / RESERVE_PART));
    }

    /** Those of them for tensors. */
    static long forTensors(long deviceBytes, int processes) {
        long limit = limit(deviceBytes, processes);
        return Math.max(1, limit - Math.min(WORKING_BYTES, limit / WORKING_PART));
    }
}
