package castalia.kernels.cuda;

import castalia.kernels.DeviceGroup;
import castalia.kernels.DeviceGroups;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Groups of GPUs by NCCL. No call of it waits for other ranks: whoever does asks whether to go on. */
final class NcclGroups implements DeviceGroups {

    private static final long PAUSE_NANOS = 20_000;

    private final Nccl nccl;
    private final CudaDevice device;
    private final String identity;

    NcclGroups(Nccl nccl, CudaDevice device, String identity) {
        this.nccl = nccl;
        this.device = device;
        this.identity = identity;
    }

    @Override
    public String identity() {
        return identity;
    }

    @Override
    public Optional<byte[]> invitation() {
        device.enter();
        return nccl.invitation();
    }

    @Override
    public Optional<DeviceGroup> join(
            byte[] invitation, int ranks, int rank, BooleanSupplier goOn) {
        device.enter();
        long communicator = nccl.join(invitation, ranks, rank);
        if (communicator == 0) {
            return Optional.empty();
        }
        Group group = new Group(communicator);
        if (group.settled(goOn)) {
            return Optional.of(group);
        }
        group.close();
        return Optional.empty();
    }

    @Override
    public void giveUp() {
        device.withoutGroups();
    }

    private final class Group implements DeviceGroup {

        private final List<Runnable> added = new ArrayList<>();
        private long communicator;

        private Group(long communicator) {
            this.communicator = communicator;
        }

        @Override
        public void send(int to, MemorySegment memory) {
            added.add(() -> nccl.send(
                    memory.address(), memory.byteSize(), to, communicator, device.stream()));
        }

        @Override
        public void receive(int from, MemorySegment memory) {
            added.add(() -> nccl.receive(
                    memory.address(), memory.byteSize(), from, communicator, device.stream()));
        }

        @Override
        public boolean exchange(BooleanSupplier goOn) {
            if (communicator == 0) {
                added.clear();
                return false;
            }
            device.enter();
            nccl.begin();
            int code;
            try {
                added.forEach(Runnable::run);
            } finally {
                added.clear();
                code = nccl.end();
            }
            if ((code == Nccl.SUCCESS || code == Nccl.IN_PROGRESS) && settled(goOn)) {
                while (!device.idle()) {
                    if (nccl.state(communicator) != Nccl.SUCCESS || !goOn.getAsBoolean()) {
                        close();
                        return false;
                    }
                    LockSupport.parkNanos(PAUSE_NANOS);
                }
                return true;
            }
            close();
            return false;
        }

        /** Whether what was begun has been handed to the device. */
        private boolean settled(BooleanSupplier goOn) {
            int now = nccl.state(communicator);
            while (now == Nccl.IN_PROGRESS && goOn.getAsBoolean()) {
                LockSupport.parkNanos(PAUSE_NANOS);
                now = nccl.state(communicator);
            }
            return now == Nccl.SUCCESS;
        }

        /** What is under way on the device ends with it. */
        @Override
        public void close() {
            if (communicator != 0) {
                device.enter();
                nccl.abort(communicator);
                communicator = 0;
            }
        }
    }
}
