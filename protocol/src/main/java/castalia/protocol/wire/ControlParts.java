package castalia.protocol.wire;

import castalia.protocol.control.Committed;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.protocol.wire.generated.ControlProtos.CommittedMessage;
import castalia.protocol.wire.generated.ControlProtos.FenceMessage;
import castalia.protocol.wire.generated.ControlProtos.LayoutMessage;
import castalia.protocol.wire.generated.ControlProtos.MemberMessage;
import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What both directions of the control protocol are made of. */
final class ControlParts {

    private static final int MOST_INDEX = 1 << 30;

    private ControlParts() {}

    static FenceMessage message(Fence fence) {
        return FenceMessage.newBuilder()
                .setTerm(fence.term())
                .setGeneration(fence.generation())
                .build();
    }

    static Fence record(FenceMessage message) {
        return new Fence(message.getTerm(), message.getGeneration());
    }

    static LayoutMessage message(ParallelLayout layout) {
        return LayoutMessage.newBuilder()
                .setDataParallel(layout.dataParallel())
                .setTensorParallel(layout.tensorParallel())
                .setZero(layout.zero())
                .setBuddies(layout.buddies())
                .build();
    }

    static ParallelLayout record(LayoutMessage message) {
        return new ParallelLayout(message.getDataParallel(), message.getTensorParallel(),
                message.getZero(), message.getBuddies());
    }

    static MemberMessage message(Member member) {
        MemberMessage.Builder message = MemberMessage.newBuilder()
                .setIncarnation(member.incarnation().id())
                .setName(member.name())
                .setNode(member.node())
                .setPid(member.pid())
                .setHost(member.endpoint().host())
                .setPort(member.endpoint().port());
        member.endpoint().socket().ifPresent(message::setSocket);
        return message.build();
    }

    static Member record(MemberMessage message) {
        Optional<String> socket =
                message.hasSocket() ? Optional.of(message.getSocket()) : Optional.empty();
        return new Member(
                new Incarnation(message.getIncarnation()),
                message.getName(),
                message.getNode(),
                message.getPid(),
                new Endpoint(message.getHost(), message.getPort(), socket));
    }

    static CommittedMessage message(Committed committed) {
        Verdict.Outcome verdict = committed.verdict();
        CommittedMessage.Builder message = CommittedMessage.newBuilder()
                .setStep(committed.step())
                .setLoss(verdict.loss())
                .setState(StateCodec.message(verdict.state()));
        return switch (verdict) {
            case Verdict.Apply apply -> message
                    .setNorm(apply.norm())
                    .setGradientFactor(apply.gradientFactor())
                    .build();
            case Verdict.Skip _ -> message.setSkipped(true).build();
        };
    }

    static Committed record(CommittedMessage message) {
        StateDigest state = StateCodec.record(message.getState());
        return new Committed(message.getStep(), message.getSkipped()
                ? new Verdict.Skip(message.getLoss(), state)
                : new Verdict.Apply(message.getNorm(), message.getLoss(), state,
                        message.getGradientFactor()));
    }

    /** Text for people, cut where it is too long to be sent. */
    static String text(String text) {
        if (text.length() <= ControlCodec.LONGEST_TEXT) {
            return text;
        }
        int end = ControlCodec.LONGEST_TEXT;
        return text.substring(0, Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end);
    }

    /** Indices, each as its distance from the one before. */
    static ByteString indices(List<Integer> indices) {
        ByteString.Output bytes = ByteString.newOutput(indices.size() + 16);
        CodedOutputStream out = CodedOutputStream.newInstance(bytes);
        try {
            int before = -1;
            for (int index : indices) {
                out.writeSInt32NoTag(index - before);
                before = index;
            }
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException("bytes in memory cannot fail", e);
        }
        return bytes.toByteString();
    }

    /** Reads what {@link #indices} wrote. */
    static List<Integer> indices(ByteString bytes) {
        List<Integer> indices = new ArrayList<>();
        CodedInputStream in = bytes.newCodedInput();
        try {
            long before = -1;
            while (!in.isAtEnd()) {
                before += in.readSInt32();
                indices.add(index(before));
            }
        } catch (IOException e) {
            throw new IllegalArgumentException("a list of chunks is damaged", e);
        }
        return indices;
    }

    /** A chunk's index that is possible. */
    static int index(long index) {
        if (index < 0 || index > MOST_INDEX) {
            throw new IllegalArgumentException("no chunk has the index " + index);
        }
        return (int) index;
    }
}
