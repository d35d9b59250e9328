package castalia.kernels;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/** Does everything as another device, whose owner it is; a subclass overrides what it looks at. */
public class ForwardingDevice implements Device {

    private final Device device;

    /** @param device closed with this one */
    public ForwardingDevice(Device device) {
        this.device = device;
    }

    @Override
    public Kernels kernels() {
        return device.kernels();
    }

    @Override
    public Arena arena() {
        return device.arena();
    }

    @Override
    public boolean inHostMemory() {
        return device.inHostMemory();
    }

    @Override
    public boolean owns(MemorySegment memory) {
        return device.owns(memory);
    }

    @Override
    public Optional<PeerMemory> peerMemory() {
        return device.peerMemory();
    }

    @Override
    public Optional<DeviceGroups> groups() {
        return device.groups();
    }

    @Override
    public void upload(Buffer to, MemorySegment from) {
        device.upload(to, from);
    }

    @Override
    public void download(MemorySegment to, Buffer from) {
        device.download(to, from);
    }

    @Override
    public Copier copier(int slots, long slotBytes) {
        return device.copier(slots, slotBytes);
    }

    @Override
    public int mostPartials() {
        return device.mostPartials();
    }

    @Override
    public Repetition repetition() {
        return device.repetition();
    }

    @Override
    public Repeated repeated(Runnable work) {
        return device.repeated(work);
    }

    @Override
    public String description() {
        return device.description();
    }

    @Override
    public NumericVersion numericVersion() {
        return device.numericVersion();
    }

    @Override
    public List<String> productAnswers(MatmulShape shape) {
        return device.productAnswers(shape);
    }

    @Override
    public void close() {
        device.close();
    }
}
