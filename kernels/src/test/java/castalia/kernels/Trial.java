package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import castalia.kernels.reference.ReferenceDevice;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One operation on the device under test, on its twin and on the reference, with the same operands.
 * The twin's buffers have another alignment. {@link #run} proves that inputs and the memory around
 * every operand stay as they were and that the twin gives the same bits; {@link #near} and
 * {@link #same} compare outputs with the reference.
 */
final class Trial implements AutoCloseable {

    /** The operation, on whichever device: {@code b.of(operand)} is that device's buffer. */
    interface Call {
        void on(Kernels kernels, Buffers b);
    }

    /** An operation with a result. */
    interface DoubleCall {
        double on(Kernels kernels, Buffers b);
    }

    /** What a {@link DoubleCall} returned. */
    record Results(double actual, double expected) {}

    /** One device's buffers. */
    static final class Buffers {
        private final int side;
        private final DigestSum digest = new DigestSum();

        private Buffers(int side) {
            this.side = side;
        }

        Buffer of(Operand operand) {
            return operand.sides.get(side).buffer();
        }

        @Nullable Buffer orNull(@Nullable Operand operand) {
            return operand == null ? null : of(operand);
        }

        Buffer[] of(List<Operand> operands) {
            return operands.stream().map(this::of).toArray(Buffer[]::new);
        }

        /** Where the operation adds its digest; all devices must agree. */
        DigestSum digest() {
            return digest;
        }

        /** True on the device under test and its twin. */
        boolean tested() {
            return side != ORACLE;
        }
    }

    /** One argument with a buffer on each device. */
    static final class Operand {
        private final String name;
        private final DType type;
        private final DType oracleType;
        private final byte[] initial;
        private final double[] before;
        private final boolean output;
        private final List<GuardedBuffer> sides = new ArrayList<>();

        private Operand(String name, DType type, DType oracleType, byte[] initial, boolean output) {
            this.name = name;
            this.type = type;
            this.oracleType = oracleType;
            this.initial = initial;
            this.before = Values.decode(type, initial);
            this.output = output;
        }

        /** The values before the operation, rounded to the operand's type. */
        double[] before() {
            return before;
        }

        /** The values the device under test left. */
        double[] actual() {
            return Values.decode(type, sides.get(TESTED).read());
        }

        /** The values the reference left. */
        double[] expected() {
            return Values.decode(oracleType, sides.get(ORACLE).read());
        }

        private byte[] initial(int side) {
            return side == ORACLE && oracleType != type
                    ? Values.encode(oracleType, before)
                    : initial;
        }
    }

    private static final int TESTED = 0;
    private static final int TWIN = 1;
    private static final int ORACLE = 2;

    private final String description;
    private final boolean exact;
    private final List<Device> devices;
    private final List<Arena> arenas;
    private final List<Operand> operands = new ArrayList<>();

    private DigestSum digest = new DigestSum();

    private Trial(KernelSubject subject, boolean exact, String description) {
        this.description = description;
        this.exact = exact;
        devices = List.of(subject.device(), subject.twin(), new ReferenceDevice());
        arenas = devices.stream().map(Device::arena).toList();
    }

    /** A trial whose reference computes in F64 throughout. */
    @SuppressWarnings("AnnotateFormatMethod") // the annotation is not among our dependencies
    static Trial inDouble(KernelSubject subject, String description, Object... arguments) {
        return new Trial(subject, false, description.formatted(arguments));
    }

    /** A trial whose reference has the same types, to be equalled bit for bit. */
    @SuppressWarnings("AnnotateFormatMethod") // the annotation is not among our dependencies
    static Trial bitwise(KernelSubject subject, String description, Object... arguments) {
        return new Trial(subject, true, description.formatted(arguments));
    }

    Operand input(String name, DType type, double[] values) {
        return operand(name, type, Values.encode(type, values), false);
    }

    /** An operand that is read and written. */
    Operand inout(String name, DType type, double[] values) {
        return operand(name, type, Values.encode(type, values), true);
    }

    /** An operand given as bytes, in a bitwise trial. */
    Operand raw(String name, DType type, byte[] bytes, boolean output) {
        return operand(name, type, bytes, output);
    }

    /** An operand that is only written: NaN before. */
    Operand output(String name, DType type, long elements) {
        return inout(name, type, Values.filled(elements, Double.NaN));
    }

    private Operand operand(String name, DType type, byte[] initial, boolean output) {
        DType oracleType = exact || type == DType.I32 ? type : DType.F64;
        Operand operand = new Operand(name, type, oracleType, initial, output);
        for (int side = 0; side < devices.size(); side++) {
            int shift = side == TWIN ? 1 + operands.size() % 3 : 0;
            DType sideType = side == ORACLE ? oracleType : type;
            long elements = initial.length / type.bytes();
            operand.sides.add(new GuardedBuffer(devices.get(side), arenas.get(side), sideType,
                    elements, shift));
        }
        operands.add(operand);
        return operand;
    }

    void run(Call call) {
        evaluate((kernels, b) -> {
            call.on(kernels, b);
            return 0;
        });
    }

    Results evaluate(DoubleCall call) {
        double[] results = new double[devices.size()];
        List<DigestSum> digests = new ArrayList<>();
        for (int side = 0; side < devices.size(); side++) {
            for (Operand operand : operands) {
                operand.sides.get(side).write(operand.initial(side));
            }
            Buffers buffers = new Buffers(side);
            results[side] = call.on(devices.get(side).kernels(), buffers);
            digests.add(buffers.digest);
            for (Operand operand : operands) {
                GuardedBuffer buffer = operand.sides.get(side);
                buffer.assertUntouchedAround(operand.name + ", " + description);
                if (!operand.output) {
                    assertThat(buffer.read())
                            .as("input %s, %s", operand.name, description)
                            .isEqualTo(operand.initial(side));
                }
            }
        }
        for (Operand operand : operands) {
            assertThat(operand.sides.get(TWIN).read())
                    .as("%s a second time, %s", operand.name, description)
                    .isEqualTo(operand.sides.get(TESTED).read());
        }
        digest = digests.getFirst();
        assertThat(digests).as("digests, %s", description).allSatisfy(sum -> {
            assertThat(sum.a).isEqualTo(digest.a);
            assertThat(sum.b).isEqualTo(digest.b);
        });
        assertThat(Double.compare(results[TWIN], results[TESTED]))
                .as("%s and %s a second time, %s", results[TESTED], results[TWIN], description)
                .isZero();
        return new Results(results[TESTED], results[ORACLE]);
    }

    /** The digest of the last run. */
    DigestSum digest() {
        return digest;
    }

    /** An output equals the reference's, bit for bit. */
    void same(Operand operand) {
        byte[] actual = operand.sides.get(TESTED).read();
        byte[] expected = operand.sides.get(ORACLE).read();
        for (int i = 0; i < actual.length; i++) {
            if (actual[i] != expected[i]) {
                int element = i / operand.type.bytes();
                fail("%s[%s] is %s, not %s; %s", operand.name, element, operand.actual()[element],
                        operand.expected()[element], description);
            }
        }
    }

    /**
     * An output lies within {@code error} of the reference's, per element, and the rounding to its
     * own type. NaN must be NaN and infinities themselves.
     */
    void near(Operand operand, double[] error) {
        double[] actual = operand.actual();
        double[] expected = operand.expected();
        assertThat(error).as("errors of %s, %s", operand.name, description).hasSameSizeAs(actual);
        double roundoff = Values.roundoff(operand.type);
        for (int i = 0; i < actual.length; i++) {
            double allowed =
                    (error[i] + roundoff * Math.abs(expected[i])) * 1.01 + Values.subnormal(operand.type);
            boolean equal = Double.compare(actual[i], expected[i]) == 0;
            if (!equal && !(Math.abs(actual[i] - expected[i]) <= allowed)) {
                fail("%s[%s] is %s, not %s (error %s, allowed %s); %s", operand.name, i, actual[i],
                        expected[i], actual[i] - expected[i], allowed, description);
            }
        }
    }

    /** Wherever the reference has a NaN, and it has one, so has the device under test. */
    void keepsNaN(Operand operand) {
        double[] actual = operand.actual();
        double[] expected = operand.expected();
        int found = 0;
        for (int i = 0; i < actual.length; i++) {
            if (Double.isNaN(expected[i])) {
                found++;
                assertThat(actual[i]).as("%s[%s], %s", operand.name, i, description).isNaN();
            }
        }
        assertThat(found).as("NaNs in %s, %s", operand.name, description).isPositive();
    }

    @Override
    public void close() {
        arenas.forEach(Arena::close);
    }
}
