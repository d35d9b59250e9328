package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.Repeated;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntConsumer;

/**
 * Passes of a model that differ in nothing but tokens, each recorded once by the device: starting a
 * small model's thousand operations one by one takes longer than doing them. Where somebody waits for
 * single layers they are started one by one. A pass leaves its losses in
 * one place, from where they are copied to that of the moment.
 */
final class Repetitions implements AutoCloseable {

    /** Wider models keep a GPU busy for longer than their operations take to be started. */
    private static final int WIDEST = 768;

    /** More than a rank needs: a few buffers of gradients, written or added to. */
    private static final int MOST = 32;

    /** A model's pass. */
    interface Pass {
        void compute(FlatViews gradients, float scale, boolean accumulate, Buffer[] losses,
                IntConsumer layerDone);
    }

    private record Key(FlatViews gradients, float scale, boolean accumulate) {}

    private final Device device;
    private final Pass work;
    private final Losses own;
    private final Map<Key, Repeated> known = new HashMap<>();

    Repetitions(ModelPlan plan, Device device, Pass work) {
        this.device = device;
        this.work = work;
        this.own = new Losses(plan, device, 1);
    }

    static boolean worthwhile(ModelPlan plan, Device device) {
        return switch (device.repetition()) {
            case OFF -> false;
            case AUTO -> plan.hidden() <= WIDEST;
            case ON -> true;
        };
    }

    void run(FlatViews gradients, float scale, boolean accumulate, Losses losses, int pass) {
        Key key = new Key(gradients, scale, accumulate);
        Repeated repeated = known.get(key);
        if (repeated == null) {
            if (known.size() == MOST) {
                forget();
            }
            repeated = device.repeated(
                    () -> work.compute(gradients, scale, accumulate, own.of(0), NeoxModel.NOBODY));
            known.put(key, repeated);
        }
        repeated.run();
        Buffer from = words(own.whole(0));
        device.kernels().cast(words(losses.whole(pass)), from, from.elements());
    }

    /** F64 as twice as many F32: a copy keeps every bit. */
    private static Buffer words(Buffer of) {
        return new Buffer(DType.F32, 2 * of.elements(), of.segment());
    }

    /** To be called when memory that passes use is about to be another's. */
    void forget() {
        known.values().forEach(Repeated::close);
        known.clear();
    }

    @Override
    public void close() {
        forget();
        own.close();
    }
}
