package castalia.protocol.wire;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.CoordinatorMessage.Dismiss;
import castalia.protocol.control.CoordinatorMessage.Feed;
import castalia.protocol.control.CoordinatorMessage.FlipBit;
import castalia.protocol.control.CoordinatorMessage.Install;
import castalia.protocol.control.CoordinatorMessage.Learn;
import castalia.protocol.control.CoordinatorMessage.Pause;
import castalia.protocol.control.CoordinatorMessage.Query;
import castalia.protocol.control.CoordinatorMessage.Saved;
import castalia.protocol.control.CoordinatorMessage.Start;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.wire.generated.ControlProtos.CoordinatorControl;
import castalia.protocol.wire.generated.ControlProtos.DismissMessage;
import castalia.protocol.wire.generated.ControlProtos.FeedMessage;
import castalia.protocol.wire.generated.ControlProtos.FlipBitMessage;
import castalia.protocol.wire.generated.ControlProtos.InstallMessage;
import castalia.protocol.wire.generated.ControlProtos.LearnMessage;
import castalia.protocol.wire.generated.ControlProtos.PauseMessage;
import castalia.protocol.wire.generated.ControlProtos.QueryMessage;
import castalia.protocol.wire.generated.ControlProtos.SavedMessage;
import castalia.protocol.wire.generated.ControlProtos.StartMessage;
import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.IntUnaryOperator;

/** What coordinators say, between record and message. */
final class CoordinatorMessages {

    private static final int NOBODY = 0xffff;

    private CoordinatorMessages() {}

    static CoordinatorControl.Builder message(CoordinatorMessage message) {
        CoordinatorControl.Builder out = CoordinatorControl.newBuilder();
        return switch (message) {
            case Query m -> out.setQuery(
                    QueryMessage.newBuilder().setFence(ControlParts.message(m.fence())));
            case Install m -> out.setInstall(install(m.plan()));
            case Start m -> out.setStart(
                    StartMessage.newBuilder().setFence(ControlParts.message(m.fence())));
            case Pause m -> out.setPause(PauseMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setStep(m.step())
                    .setSave(m.save()));
            case Feed m -> out.setFeed(FeedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setLearner(ControlParts.message(m.learner()))
                    .setChunks(ControlParts.indices(m.chunks())));
            case Learn m -> out.setLearn(LearnMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setChunks(ControlParts.indices(m.chunks())));
            case Dismiss m -> out.setDismiss(DismissMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setReason(ControlParts.text(m.reason())));
            case Saved m -> out.setSaved(SavedMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setStep(m.step()));
            case FlipBit m -> out.setFlipBit(FlipBitMessage.newBuilder()
                    .setFence(ControlParts.message(m.fence()))
                    .setElement(m.element())
                    .setBit(m.bit()));
        };
    }

    static CoordinatorMessage record(CoordinatorControl control) {
        return switch (control.getMessageCase()) {
            case QUERY -> new Query(ControlParts.record(control.getQuery().getFence()));
            case INSTALL -> new Install(plan(control.getInstall()));
            case START -> new Start(ControlParts.record(control.getStart().getFence()));
            case PAUSE -> {
                PauseMessage m = control.getPause();
                yield new Pause(ControlParts.record(m.getFence()), m.getStep(), m.getSave());
            }
            case FEED -> {
                FeedMessage m = control.getFeed();
                yield new Feed(ControlParts.record(m.getFence()),
                        ControlParts.record(m.getLearner()), ControlParts.indices(m.getChunks()));
            }
            case LEARN -> {
                LearnMessage m = control.getLearn();
                yield new Learn(
                        ControlParts.record(m.getFence()), ControlParts.indices(m.getChunks()));
            }
            case DISMISS -> {
                DismissMessage m = control.getDismiss();
                yield new Dismiss(ControlParts.record(m.getFence()), m.getReason());
            }
            case FLIP_BIT -> {
                FlipBitMessage m = control.getFlipBit();
                yield new FlipBit(
                        ControlParts.record(m.getFence()), m.getElement(), m.getBit());
            }
            case SAVED -> new Saved(
                    ControlParts.record(control.getSaved().getFence()),
                    control.getSaved().getStep());
            case MESSAGE_NOT_SET -> throw new IllegalArgumentException("holds no message");
        };
    }

    private static InstallMessage install(GenerationPlan plan) {
        if (plan.members().size() > ControlCodec.MOST_MEMBERS) {
            throw new IllegalArgumentException(plan.members().size() + " members; at most "
                    + ControlCodec.MOST_MEMBERS + " are possible");
        }
        Placement placement = plan.placement();
        InstallMessage.Builder message = InstallMessage.newBuilder()
                .setFence(ControlParts.message(plan.fence()))
                .setVirtualRanks(placement.virtualRanks())
                .setOwners(packed(placement.chunks(), placement::owner))
                .setBuddies(packed(placement.chunks(), c -> placement.buddy(0, c)))
                .setSecondBuddies(packed(placement.chunks(), c -> placement.buddy(1, c)))
                .setSlices(packed(placement.chunks(), placement::slice))
                .setTensorSlices(placement.tensorSlices())
                .setLayout(ControlParts.message(placement.layout()))
                .setGather(plan.gather())
                .setSaved(plan.saved());
        plan.members().forEach(member -> message.addMembers(ControlParts.message(member)));
        switch (plan.start()) {
            case GenerationPlan.Start.Initial() ->
                message.setInitial(InstallMessage.InitialStart.getDefaultInstance());
            case GenerationPlan.Start.Memory memory -> {
                InstallMessage.MemoryStart.Builder start = InstallMessage.MemoryStart.newBuilder()
                        .setScalars(StateCodec.message(memory.scalars()));
                memory.rollForward()
                        .ifPresent(last -> start.setRollForward(ControlParts.message(last)));
                memory.moves().forEach(move -> start.addMoves(InstallMessage.Move.newBuilder()
                        .setFirst(move.first())
                        .setCount(move.count())
                        .setFrom(move.from())
                        .setTo(move.to())));
                message.setMemory(start);
            }
            case GenerationPlan.Start.Checkpoint(long step) ->
                message.setCheckpoint(InstallMessage.CheckpointStart.newBuilder().setStep(step));
        }
        return message.build();
    }

    private static GenerationPlan plan(InstallMessage message) {
        if (message.getVirtualRanks() > TrainingPlan.MOST_VIRTUAL_RANKS) {
            throw new IllegalArgumentException(
                    message.getVirtualRanks() + " virtual ranks are not possible");
        }
        int[][] buddies = {
            unpacked(message.getBuddies()), unpacked(message.getSecondBuddies())
        };
        Placement placement = Placement.of(
                ControlParts.record(message.getLayout()),
                message.getVirtualRanks(),
                message.getTensorSlices(),
                message.getMembersCount(),
                new Placement.Holdings(
                        unpacked(message.getOwners()),
                        Arrays.copyOf(buddies, message.getLayout().getBuddies()),
                        unpacked(message.getSlices())));
        return new GenerationPlan(
                ControlParts.record(message.getFence()),
                message.getMembersList().stream().map(ControlParts::record).toList(),
                placement,
                start(message),
                message.getGather(),
                message.getSaved());
    }

    private static GenerationPlan.Start start(InstallMessage message) {
        return switch (message.getStartCase()) {
            case INITIAL -> new GenerationPlan.Start.Initial();
            case MEMORY -> {
                InstallMessage.MemoryStart memory = message.getMemory();
                yield new GenerationPlan.Start.Memory(
                        StateCodec.record(memory.getScalars()),
                        memory.hasRollForward()
                                ? Optional.of(ControlParts.record(memory.getRollForward()))
                                : Optional.empty(),
                        memory.getMovesList().stream()
                                .map(move -> new ReshardPlan.Move(move.getFirst(),
                                        move.getCount(), move.getFrom(), move.getTo()))
                                .toList());
            }
            case CHECKPOINT ->
                new GenerationPlan.Start.Checkpoint(message.getCheckpoint().getStep());
            case START_NOT_SET ->
                throw new IllegalArgumentException("does not say where the state comes from");
        };
    }

    private static ByteString packed(int chunks, IntUnaryOperator rank) {
        ByteBuffer bytes =
                ByteBuffer.allocate(Short.BYTES * chunks).order(ByteOrder.LITTLE_ENDIAN);
        for (int c = 0; c < chunks; c++) {
            bytes.putShort((short) rank.applyAsInt(c)); // -1 becomes NOBODY
        }
        return ByteString.copyFrom(bytes.flip());
    }

    private static int[] unpacked(ByteString packed) {
        if (packed.size() % Short.BYTES != 0) {
            throw new IllegalArgumentException("ranks of " + packed.size() + " bytes");
        }
        ByteBuffer bytes = packed.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        int[] ranks = new int[packed.size() / Short.BYTES];
        for (int c = 0; c < ranks.length; c++) {
            int rank = Short.toUnsignedInt(bytes.getShort());
            ranks[c] = rank == NOBODY ? Placement.NONE : rank;
        }
        return ranks;
    }
}
