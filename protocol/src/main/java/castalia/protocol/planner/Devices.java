package castalia.protocol.planner;

/**
 * The devices to plan for, all alike: rank r is on device r, and every device on node r / perNode.
 *
 * @param count how many there are
 * @param perNode devices of a node
 * @param memoryBytes memory that ranks may use: of a device, or of all together
 * @param shared whether the ranks share that memory in equal parts, as on one machine
 * @param earlyBytes most bytes of frames that a rank keeps because they came before they were waited
 *     for; 0 where all ranks share a process
 * @param flops floating-point operations of a device per second, as training reaches them
 * @param nodeBandwidth bytes per second of a device to others of its node, in one direction
 * @param linkBandwidth bytes per second of a device to those of other nodes, in one direction
 */
public record Devices(
        int count,
        int perNode,
        long memoryBytes,
        boolean shared,
        long earlyBytes,
        double flops,
        double nodeBandwidth,
        double linkBandwidth) {

    /** Most devices. */
    public static final int MOST = 1 << 14;

    public Devices {
        if (count < 1 || count > MOST) {
            throw new IllegalArgumentException(
                    "devices " + count + " must lie between 1 and " + MOST);
        }
        if (perNode < 1) {
            throw new IllegalArgumentException(
                    "devices per node " + perNode + " must be at least 1");
        }
        if (memoryBytes < 1 || earlyBytes < 0) {
            throw new IllegalArgumentException("memory of a device, " + memoryBytes
                    + " bytes, and early frames, " + earlyBytes + " bytes, must be positive");
        }
        if (!positive(flops) || !positive(nodeBandwidth) || !positive(linkBandwidth)) {
            throw new IllegalArgumentException("operations per second " + flops
                    + " and bytes per second " + nodeBandwidth + " and " + linkBandwidth
                    + " must be positive");
        }
    }

    /** Memory of each of some ranks. */
    public long memoryOf(int ranks) {
        return shared ? memoryBytes / ranks : memoryBytes;
    }

    private static boolean positive(double value) {
        return value > 0 && Double.isFinite(value);
    }
}
