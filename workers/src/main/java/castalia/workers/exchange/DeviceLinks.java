package castalia.workers.exchange;

import castalia.kernels.Device;
import castalia.kernels.DeviceGroup;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * How a rank's device exchanges memory with those of the other ranks of a generation.
 *
 * @param transport for everything
 * @param group for weights that are gathered, where the devices have one
 */
public record DeviceLinks(Transport transport, Optional<DeviceGroup> group)
        implements AutoCloseable {

    /**
     * The best that all ranks can. To be called on all of them where devices have memory of their own.
     *
     * @param direct closed with the links, and also when this fails
     * @param chunks of the grid
     * @param abandoned whether the generation is known to be over
     */
    public static DeviceLinks of(Transport direct, Device device, long generation, int chunks,
            BooleanSupplier abandoned) {
        Optional<DeviceGroup> group = Optional.empty();
        try {
            group = GroupMeeting.hold(direct, device, generation, abandoned);
            return new DeviceLinks(PeerTransport.of(direct, device, generation, chunks), group);
        } catch (RuntimeException | Error e) {
            new DeviceLinks(direct, group).close();
            throw e;
        }
    }

    /** Nothing of this rank's memory is read or written from then on. */
    @Override
    public void close() {
        try {
            group.ifPresent(DeviceGroup::close);
        } finally {
            transport.close();
        }
    }
}
