package castalia.deploy.train;

import castalia.deploy.shell.CastaliaHome;
import castalia.kernels.Device;
import castalia.kernels.OutOfDeviceMemoryException;
import castalia.kernels.cpu.CpuDevice;
import castalia.kernels.cpu.CpuSettings;
import castalia.kernels.cpu.MatmulEngine;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.BatchReader;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.model.ProductAnswers;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.RankSettings;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/** Puts the parts of a training process together by hand. */
public final class Wiring {

    /** Longest wait of a rank for another; a step of the largest model on one core takes less. */
    private static final Duration DEADLINE = Duration.ofMinutes(30);

    private static final Duration DATA_DEADLINE = Duration.ofMinutes(2);

    private Wiring() {}

    /** The device of every rank. */
    public static IntFunction<Device> devices(Hosting hosting, CastaliaHome home) {
        return devices(hosting, hosting.ranks(), home);
    }

    /**
     * The device of every rank, of the process's back end.
     *
     * @param sharers ranks that share this machine's memory, those of other processes included
     * @throws CastaliaException if this machine has no such device, or fewer processors than threads
     */
    public static IntFunction<Device> devices(Hosting hosting, int sharers, CastaliaHome home) {
        DeviceChoice choice = DeviceChoice.ofProcess();
        if (choice.cuda()) {
            return choice.gpus(sharers, hosting.memoryBytes() / sharers, home);
        }
        CpuSettings settings = new CpuSettings(hosting.onThisMachine().threadsPerRank(),
                home.natives().toString(), hosting.usableBytes() / sharers,
                hosting.portable() ? MatmulEngine.JAVA : MatmulEngine.AUTO);
        return _ -> new CpuDevice(settings);
    }

    /** One device, with all processors where it is the CPU. */
    public static Device device(CastaliaHome home) {
        return devices(new Hosting(1, Runtime.getRuntime().availableProcessors(),
                Recomputation.NONE), home).apply(0);
    }

    /** The cut of a plan's batches. */
    public static BatchShape batches(TrainingPlan plan) {
        return new BatchShape(
                plan.globalBatch(), plan.virtualRanks(), plan.microBatch(), plan.sequence());
    }

    /**
     * Makes the ranks of a plan.
     *
     * @throws CastaliaException if there is too little memory or the plan does not allow so many
     */
    public static RankGroup ranks(
            TrainingPlan plan, Hosting hosting, ParallelLayout layout, CastaliaHome home) {
        return ranks(plan, hosting, layout, devices(hosting, home));
    }

    /** As the other, with devices of the caller's. */
    public static RankGroup ranks(
            TrainingPlan plan, Hosting hosting, ParallelLayout layout, IntFunction<Device> devices) {
        try {
            return new RankGroup(
                    RankSettings.of(plan, hosting.recomputation()), layout, devices, DEADLINE);
        } catch (OutOfDeviceMemoryException e) {
            throw tooLittle(e);
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    private static CastaliaException tooLittle(OutOfDeviceMemoryException e) {
        return new CastaliaException(ErrorCode.OUT_OF_MEMORY, e.getMessage()
                + "; use fewer ranks, a smaller micro-batch, recomputation, or a machine with "
                + "more memory", e);
    }

    /**
     * The known answers of a run's products: once per process, on a device like those of its ranks.
     *
     * @throws CastaliaException if two threads of the device give different bits
     */
    public static ProductAnswers answers(RankGroup group, Hosting hosting, CastaliaHome home) {
        try (Device device = devices(hosting, home).apply(0)) {
            return ProductAnswers.of(device, group.rank(0).modelPlan());
        } catch (OutOfDeviceMemoryException e) {
            throw tooLittle(e);
        } catch (IllegalStateException e) {
            throw new CastaliaException(ErrorCode.DEVICE_FAILED, e.getMessage()
                    + "; such a device can take part in no run", e);
        }
    }

    /** One reader per rank that reads a step ahead of it. */
    public static List<BatchReader> readers(RankGroup group, BatchSource source) {
        List<BatchReader> readers = new ArrayList<>();
        for (int r = 0; r < group.placement().ranks(); r++) {
            readers.add(new BatchReader(source, group.rank(r).block(), DATA_DEADLINE));
        }
        return readers;
    }
}
