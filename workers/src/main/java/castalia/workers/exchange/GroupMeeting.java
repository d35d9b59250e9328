package castalia.workers.exchange;

import castalia.kernels.Device;
import castalia.kernels.DeviceGroup;
import castalia.kernels.DeviceGroups;
import castalia.kernels.PeerMemory;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * How the ranks of a generation become a {@link DeviceGroup}: where every one of them can, no two are on
 * one device, and some are on different machines (on one, devices read each other's memory). All of them
 * come to the same answer; where one cannot join, nobody does.
 */
public final class GroupMeeting {

    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(30);
    private static final int HASH_BYTES = 32;
    private static final long MACHINE_AT = 1;
    private static final long DEVICE_AT = MACHINE_AT + HASH_BYTES;
    private static final long GREETING_BYTES = DEVICE_AT + HASH_BYTES;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private static final byte CANNOT = 0;
    private static final byte CAN = 1;
    private static final byte WANTS = 2;

    private final Transport direct;
    private final long generation;
    private final Arena host;

    private GroupMeeting(Transport direct, long generation, Arena host) {
        this.direct = direct;
        this.generation = generation;
        this.host = host;
    }

    /**
     * To be called on all ranks.
     *
     * @param direct not used by anybody else meanwhile
     * @param abandoned whether the generation is known to be over
     */
    public static Optional<DeviceGroup> hold(
            Transport direct, Device device, long generation, BooleanSupplier abandoned) {
        if (device.inHostMemory() || !direct.betweenProcesses() || direct.ranks() == 1) {
            return Optional.empty();
        }
        try (Arena host = Arena.ofShared()) {
            return new GroupMeeting(direct, generation, host).hold(device, abandoned);
        }
    }

    private List<MemorySegment> all(int part, MemorySegment own) {
        return AllExchange.of(direct, new FrameTag(Kind.REACH, generation, 0, 0, 0, part), own,
                _ -> own.byteSize(), host);
    }

    private Optional<DeviceGroup> hold(Device device, BooleanSupplier abandoned) {
        DeviceGroups groups = device.groups().orElse(null);
        MemorySegment own = host.allocate(GREETING_BYTES);
        if (groups != null) {
            own.set(BYTE, 0, groups.wanted() ? WANTS : CAN);
            put(own, MACHINE_AT, device.peerMemory().map(PeerMemory::machine).orElse(""));
            put(own, DEVICE_AT, groups.identity());
        }
        boolean meet = meets(all(2, own));
        if (!meet || groups == null) {
            return Optional.empty();
        }
        MemorySegment invitation = host.allocate(DeviceGroups.INVITATION_BYTES);
        if (direct.rank() == 0) {
            groups.invitation().ifPresent(
                    bytes -> invitation.copyFrom(MemorySegment.ofArray(bytes)));
        }
        byte[] first = all(3, invitation).getFirst().toArray(BYTE);
        if (Arrays.equals(first, new byte[DeviceGroups.INVITATION_BYTES])) {
            groups.giveUp();
            return Optional.empty();
        }
        long end = System.nanoTime() + JOIN_NANOS;
        Optional<DeviceGroup> group = groups.join(first, direct.ranks(), direct.rank(),
                () -> !abandoned.getAsBoolean() && System.nanoTime() - end < 0);
        if (group.isEmpty() && !abandoned.getAsBoolean()) {
            groups.giveUp(); // or every generation would wait as long again
        }
        try {
            MemorySegment joined = host.allocate(1);
            joined.set(BYTE, 0, group.isPresent() ? CAN : CANNOT);
            if (all(4, joined).stream().allMatch(one -> one.get(BYTE, 0) == CAN)) {
                return group;
            }
        } catch (RuntimeException | Error e) {
            group.ifPresent(DeviceGroup::close);
            throw e;
        }
        group.ifPresent(DeviceGroup::close);
        return Optional.empty();
    }

    private static void put(MemorySegment to, long at, String text) {
        MemorySegment.copy(PeerMeeting.hash(text), 0, to, BYTE, at, HASH_BYTES);
    }

    /** From what all ranks said, so that all decide alike. */
    private static boolean meets(List<MemorySegment> greetings) {
        Set<List<Byte>> devices = new HashSet<>();
        Set<List<Byte>> machines = new HashSet<>();
        boolean wanted = false;
        for (MemorySegment each : greetings) {
            if (each.get(BYTE, 0) == CANNOT) {
                return false;
            }
            wanted |= each.get(BYTE, 0) == WANTS;
            machines.add(bytes(each, MACHINE_AT, HASH_BYTES));
            devices.add(bytes(each, MACHINE_AT, 2 * HASH_BYTES));
        }
        return devices.size() == greetings.size() && (wanted || machines.size() > 1);
    }

    private static List<Byte> bytes(MemorySegment of, long at, int length) {
        return of.asSlice(at, length).elements(BYTE).map(one -> one.get(BYTE, 0)).toList();
    }
}
