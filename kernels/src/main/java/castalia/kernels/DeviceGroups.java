package castalia.kernels;

import java.util.Optional;
import java.util.function.BooleanSupplier;

/** How a device becomes part of a {@link DeviceGroup}. */
public interface DeviceGroups {

    /** Bytes of an invitation. */
    int INVITATION_BYTES = 128;

    /** The device itself: no two ranks of a group may be on the same. */
    String identity();

    /** Whether groups are wanted also where devices read each other's memory. */
    default boolean wanted() {
        return false;
    }

    /** What the first rank gives all others, that they meet; nothing if the library cannot say. */
    Optional<byte[]> invitation();

    /**
     * Meets the other ranks, which are to call this at the same time.
     *
     * @param goOn asked while it waits; false ends it
     * @return nothing if it was ended or failed
     */
    Optional<DeviceGroup> join(byte[] invitation, int ranks, int rank, BooleanSupplier goOn);

    /** Joining failed though nobody left: the device has no groups from now on. */
    void giveUp();
}
