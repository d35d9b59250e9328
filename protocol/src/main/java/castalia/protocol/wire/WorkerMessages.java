package castalia.protocol.wire;

import castalia.protocol.ErrorCode;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.control.WorkerMessage.CaughtUp;
import castalia.protocol.control.WorkerMessage.Failed;
import castalia.protocol.control.WorkerMessage.Finished;
import castalia.protocol.control.WorkerMessage.Installed;
import castalia.protocol.control.WorkerMessage.Paused;
import castalia.protocol.control.WorkerMessage.Registered;
import castalia.protocol.control.WorkerMessage.Reported;
import castalia.protocol.control.WorkerMessage.Stepped;
import castalia.protocol.control.WorkerMessage.Stored;
import castalia.protocol.control.WorkerMessage.Suspects;
import castalia.protocol.control.WorkerMessage.Validated;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.step.Scaling;
import castalia.protocol.wire.generated.ControlProtos.CaughtUpMessage;
import castalia.protocol.wire.generated.ControlProtos.FailedMessage;
import castalia.protocol.wire.generated.ControlProtos.FinishedMessage;
import castalia.protocol.wire.generated.ControlProtos.InstalledMessage;
import castalia.protocol.wire.generated.ControlProtos.PausedMessage;
import castalia.protocol.wire.generated.ControlProtos.RegisteredMessage;
import castalia.protocol.wire.generated.ControlProtos.ScalingMessage;
import castalia.protocol.wire.generated.ControlProtos.SteppedMessage;
import castalia.protocol.wire.generated.ControlProtos.StoredMessage;
import castalia.protocol.wire.generated.ControlProtos.SuspectsMessage;
import castalia.protocol.wire.generated.ControlProtos.ValidatedMessage;
import castalia.protocol.wire.generated.ControlProtos.WorkerControl;
import java.util.Optional;

/** What workers say, between record and message. */
final class WorkerMessages {

    private WorkerMessages() {}

    static WorkerControl.Builder message(WorkerMessage message) {
        WorkerControl.Builder out = WorkerControl.newBuilder();
        return switch (message) {
            case Registered m -> out.setRegistered(RegisteredMessage.newBuilder()
                    .setMember(ControlParts.message(m.member()))
                    .setRun(m.run())
                    .setNumericVersion(m.numericVersion())
                    .setBuild(m.build())
                    .setDevice(ControlParts.text(m.device()))
                    .setSeen(ControlParts.message(m.seen())));
            case Reported m -> out.setReported(HoldingsCodec.message(m.report()));
            case Installed m -> out.setInstalled(InstalledMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id()));
            case Stepped m -> out.setStepped(stepped(m));
            case Validated m -> out.setValidated(ValidatedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setStep(m.step())
                    .setLoss(m.loss()));
            case Paused m -> out.setPaused(PausedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id())
                    .setStep(m.step()));
            case Suspects m -> out.setSuspects(SuspectsMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id())
                    .setAbout(m.about().id())
                    .setBroken(m.broken())
                    .setWhat(ControlParts.text(m.what())));
            case Stored m -> out.setStored(stored(m));
            case CaughtUp m -> out.setCaughtUp(CaughtUpMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id())
                    .setVersion(m.version()));
            case Finished m -> out.setFinished(FinishedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id())
                    .setStep(m.step())
                    .setDigest(StateCodec.message(m.digest())));
            case Failed m -> out.setFailed(FailedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setWorker(m.worker().id())
                    .setCode(m.code().exitCode())
                    .setText(ControlParts.text(m.message())));
        };
    }

    static WorkerMessage record(WorkerControl control) {
        return switch (control.getMessageCase()) {
            case REGISTERED -> record(control.getRegistered());
            case REPORTED -> new Reported(HoldingsCodec.record(control.getReported()));
            case INSTALLED -> record(control.getInstalled());
            case STEPPED -> record(control.getStepped());
            case VALIDATED -> record(control.getValidated());
            case PAUSED -> record(control.getPaused());
            case SUSPECTS -> record(control.getSuspects());
            case STORED -> record(control.getStored());
            case CAUGHT_UP -> record(control.getCaughtUp());
            case FINISHED -> record(control.getFinished());
            case FAILED -> record(control.getFailed());
            case MESSAGE_NOT_SET -> throw new IllegalArgumentException("holds no message");
        };
    }

    private static SteppedMessage stepped(Stepped m) {
        Progress progress = m.progress();
        Progress.Totals totals = progress.totals();
        Progress.Nanos nanos = progress.nanos();
        SteppedMessage.Builder message = SteppedMessage.newBuilder()
                .setFence(ControlParts.message(m.fence()))
                .setWorker(m.worker().id())
                .setStep(progress.step())
                .setLoss(progress.loss())
                .setGradientNorm(progress.gradientNorm())
                .setLearningRate(progress.learningRate())
                .setStateBefore(StateCodec.message(progress.stateBefore()))
                .setSequences(progress.sequences())
                .setTotalSequences(totals.sequences())
                .setSentBytes(totals.sentBytes())
                .setReceivedBytes(totals.receivedBytes())
                .setStaleFrames(totals.staleFrames())
                .setDiskBytes(totals.diskBytes())
                .setDataNanos(nanos.data())
                .setForwardNanos(nanos.forward())
                .setBackwardNanos(nanos.backward())
                .setReductionNanos(nanos.reduction())
                .setOptimizerNanos(nanos.optimizer())
                .setWaitedNanos(nanos.waited());
        progress.scaling().ifPresent(scaling -> message.setScaling(ScalingMessage.newBuilder()
                .setLossScale(scaling.lossScale())
                .setSkipped(scaling.skipped())
                .setSkippedSteps(scaling.skippedSteps())));
        return message.build();
    }

    private static StoredMessage stored(Stored m) {
        if (m.entries().size() > ControlCodec.STORED_ENTRIES) {
            throw new IllegalArgumentException(m.entries().size() + " entries in one part; "
                    + ControlCodec.STORED_ENTRIES + " are allowed");
        }
        StoredMessage.Builder message = StoredMessage.newBuilder()
                .setFence(ControlParts.message(m.fence()))
                .setScalars(StateCodec.message(m.scalars()))
                .setTotal(m.total());
        m.entries().forEach(entry -> message.addEntries(StateCodec.message(entry)));
        return message.build();
    }

    private static Registered record(RegisteredMessage m) {
        return new Registered(
                ControlParts.record(m.getMember()),
                m.getRun(),
                m.getNumericVersion(),
                m.getBuild(),
                m.getDevice(),
                ControlParts.record(m.getSeen()));
    }

    private static Installed record(InstalledMessage m) {
        return new Installed(ControlParts.record(m.getFence()), new Incarnation(m.getWorker()));
    }

    private static Stepped record(SteppedMessage m) {
        Progress.Totals totals = new Progress.Totals(m.getTotalSequences(), m.getSentBytes(),
                m.getReceivedBytes(), m.getStaleFrames(), m.getDiskBytes());
        Progress.Nanos nanos = new Progress.Nanos(m.getDataNanos(), m.getForwardNanos(),
                m.getBackwardNanos(), m.getReductionNanos(), m.getOptimizerNanos(),
                m.getWaitedNanos());
        Progress progress = new Progress(
                m.getStep(),
                m.getLoss(),
                m.getGradientNorm(),
                m.getLearningRate(),
                StateCodec.record(m.getStateBefore()),
                m.getSequences(),
                m.hasScaling()
                        ? Optional.of(new Scaling(m.getScaling().getLossScale(),
                                m.getScaling().getSkipped(), m.getScaling().getSkippedSteps()))
                        : Optional.empty(),
                totals,
                nanos);
        return new Stepped(
                ControlParts.record(m.getFence()), new Incarnation(m.getWorker()), progress);
    }

    private static Validated record(ValidatedMessage m) {
        return new Validated(ControlParts.record(m.getFence()), m.getStep(), m.getLoss());
    }

    private static Paused record(PausedMessage m) {
        return new Paused(
                ControlParts.record(m.getFence()), new Incarnation(m.getWorker()), m.getStep());
    }

    private static Suspects record(SuspectsMessage m) {
        return new Suspects(
                ControlParts.record(m.getFence()),
                new Incarnation(m.getWorker()),
                new Incarnation(m.getAbout()),
                m.getBroken(),
                m.getWhat());
    }

    private static Stored record(StoredMessage m) {
        return new Stored(
                ControlParts.record(m.getFence()),
                StateCodec.record(m.getScalars()),
                m.getEntriesList().stream().map(StateCodec::record).toList(),
                m.getTotal());
    }

    private static CaughtUp record(CaughtUpMessage m) {
        return new CaughtUp(ControlParts.record(m.getFence()), new Incarnation(m.getWorker()),
                m.getVersion());
    }

    private static Finished record(FinishedMessage m) {
        return new Finished(ControlParts.record(m.getFence()), new Incarnation(m.getWorker()),
                m.getStep(), StateCodec.record(m.getDigest()));
    }

    private static Failed record(FailedMessage m) {
        ErrorCode code = ErrorCode.ofExitCode(m.getCode()).orElseThrow(() ->
                new IllegalArgumentException("no error has the code " + m.getCode()));
        return new Failed(ControlParts.record(m.getFence()), new Incarnation(m.getWorker()), code,
                m.getText());
    }
}
