package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import castalia.kernels.reference.ReferenceDevice;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/**
 * The contract can fail: a back end that is wrong in the last element of any output of any
 * operation, by one part in 512 where bounds apply and by one bit where bits are law, is refused;
 * so is one that writes outside, changes an input, or does not repeat its bits.
 */
final class ContractSensitivityTest {

    /** An operation, its outputs by argument, and the part of the contract that watches it. */
    private record Watched(String operation, boolean exact, String test, List<Integer> outputs) {

        private Watched(String operation, boolean exact, String test, Integer... outputs) {
            this(operation, exact, test, List.of(outputs));
        }
    }

    private static final List<Watched> WATCHED = List.of(
            new Watched("matmul", false, "productsOfEveryLayoutAreRight", 1),
            new Watched("matmulGelu", false, "productsBeforeGeluAreRight", 1, 2),
            new Watched("matmulGeluBackward", false, "productsBehindGeluAreRight", 1),
            new Watched("embedding", true, "embeddingsAreLookedUpInTheirSlice", 0),
            new Watched("selectRows", true, "rowsOfASliceAreCopiedBitForBit", 0),
            new Watched("embeddingBackward", true, "embeddingGradientsAddRowsInOrder", 0),
            new Watched("layerNorm", false, "layerNormsAreRight", 0, 1, 2),
            new Watched("layerNormDouble", false, "layerNormsAreRight", 0, 1, 2, 3),
            new Watched("layerNormBackward", false, "layerNormGradientsAreRight", 0, 1, 2),
            new Watched("layerNormDoubleBackward", false, "layerNormGradientsAreRight", 0, 1, 2, 3,
            4),
            new Watched("rotary", true, "rotationsAreExact", 0),
            new Watched("attention", false, "attentionIsRight", 0, 1),
            new Watched("attentionBackward", false, "attentionIsRight", 0),
            new Watched("gelu", false, "geluIsRight", 0),
            new Watched("geluBackward", false, "geluIsRight", 0),
            new Watched("biasGradient", false, "biasGradientsAreColumnSums", 0),
            new Watched("residual", true, "residualsAreExact", 0),
            new Watched("sumPartials", true, "sumsOfPartialsAreExact", 0),
            new Watched("softmaxPartial", false, "firstPassesAreRight", 0, 1, 2, 3),
            new Watched("softmaxJoin", false, "joinedStatisticsAreRight", 0, 1),
            new Watched("softmaxGradient", false, "logitGradientsAreRight", 0),
            new Watched("add", true, "additionsAndFillsAreExact", 0),
            new Watched("cast", true, "shortCastsAreExact", 0),
            new Watched("zero", true, "additionsAndFillsAreExact", 0),
            new Watched("fill", true, "additionsAndFillsAreExact", 0),
            new Watched("sumsOfSquares", true, "sumsOfSquaresAreExact"),
            new Watched("adamW", true, "updatesAreExact", 0, 1, 2, 3),
            new Watched("digest", true, "digestsAreExactAndAddUpOverPieces"),
            new Watched("normal", true, "initialValuesAreExactWhereverTheSliceLies", 0));

    private enum Kind {
        /** Every call is wrong in the last element. */
        VALUE,
        /** About half of the calls, in no period, differ in the last bit of the last element. */
        UNSTEADY,
        /** The four bytes behind the buffer are written. */
        BEHIND,
        /** The four bytes before the buffer are written. */
        BEFORE
    }

    @Test
    void everyOperationIsWatched() {
        assertThat(WATCHED.stream().map(Watched::operation))
                .containsExactlyInAnyOrderElementsOf(operations());
    }

    private static List<String> operations() {
        List<String> names = new ArrayList<>();
        for (Method method : Kernels.class.getDeclaredMethods()) {
            if (!method.getName().equals("prepare")) {
                names.add(method.getName());
            }
        }
        return names;
    }

    @Test
    void aWrongValueInAnyOutputIsNoticed() {
        for (Watched watched : WATCHED) {
            for (int output : watched.outputs) {
                int bit = watched.exact ? 0 : 14;
                noticed(watched, new Fault(watched.operation, Kind.VALUE, output, bit));
            }
        }
    }

    @Test
    void aResultThatIsNotRepeatedIsNoticed() {
        for (Watched watched : WATCHED) {
            for (int output : watched.outputs) {
                noticed(watched, new Fault(watched.operation, Kind.UNSTEADY, output, 0));
            }
        }
    }

    @Test
    void aWriteAroundAnyOutputIsNoticed() {
        for (Watched watched : WATCHED) {
            for (int output : watched.outputs) {
                noticed(watched, new Fault(watched.operation, Kind.BEHIND, output, 0));
                noticed(watched, new Fault(watched.operation, Kind.BEFORE, output, 0));
            }
        }
    }

    @Test
    void aWrongResultOrDigestIsNoticed() {
        for (Watched watched : WATCHED) {
            if (List.of("sumsOfSquares", "adamW", "digest").contains(watched.operation)) {
                noticed(watched, new Fault(watched.operation, Kind.VALUE, Fault.RESULT, 0));
            }
        }
    }

    @Test
    void aChangedInputIsNoticed() {
        noticed(watched("gelu"), new Fault("gelu", Kind.VALUE, 1, 0));
        noticed(watched("matmul"), new Fault("matmul", Kind.VALUE, 2, 0));
        noticed(watched("matmul"), new Fault("matmul", Kind.VALUE, 3, 0));
        noticed(watched("attention"), new Fault("attention", Kind.VALUE, 2, 0));
        noticed(watched("adamW"), new Fault("adamW", Kind.VALUE, 4, 0));
        noticed(watched("embedding"), new Fault("embedding", Kind.VALUE, 1, 0));
    }

    private static Watched watched(String operation) {
        return WATCHED.stream()
                .filter(watched -> watched.operation.equals(operation))
                .findFirst()
                .orElseThrow();
    }

    private static void noticed(Watched watched, Fault fault) {
        Throwable thrown = catchThrowable(() -> {
            Faulty contract = new Faulty(fault);
            contract.getClass().getMethod(watched.test).invoke(contract);
        });
        assertThat(thrown).as("%s of %s", watched.test, fault)
                .isInstanceOf(InvocationTargetException.class)
                .hasCauseInstanceOf(AssertionError.class);
    }

    /** The contract held against the reference with a fault. */
    private static final class Faulty extends KernelContract {

        private final Device device;

        private Faulty(Fault fault) {
            device = faulty(fault);
        }

        @Override
        public Device device() {
            return device;
        }

        @Override
        public List<DType> computeTypes() {
            return List.of(DType.F32);
        }
    }

    /**
     * What goes wrong.
     *
     * @param argument index of the argument that suffers, or {@link #RESULT}
     * @param bit the bit of an element that is flipped
     */
    private record Fault(String operation, Kind kind, int argument, int bit) {

        private static final int RESULT = -1;

        private Object strike(Object[] arguments, Object result) {
            if (argument == RESULT) {
                for (Object each : arguments) {
                    switch (each) {
                        case DigestSum digest -> digest.a ^= 1;
                        case DigestSum[] digests -> digests[digests.length - 1].a ^= 1;
                        case double[] sums -> sums[sums.length - 1] *= 1 + 1e-4;
                        default -> { }
                    }
                }
                return result;
            }
            Buffer buffer = switch (arguments[argument]) {
                case Buffer[] several -> several[several.length - 1];
                case Buffer one -> one;
                default -> throw new IllegalStateException(this + " names no buffer");
            };
            MemorySegment memory = buffer.segment();
            long last = memory.byteSize() - 4;
            switch (kind) {
                case VALUE, UNSTEADY -> memory.set(ValueLayout.JAVA_INT, last,
                        memory.get(ValueLayout.JAVA_INT, last) ^ 1 << bit);
                case BEHIND -> write(memory.address() + memory.byteSize());
                case BEFORE -> write(memory.address() - 4);
            }
            return result;
        }

        private static void write(long address) {
            MemorySegment.ofAddress(address).reinterpret(4).set(ValueLayout.JAVA_INT, 0, 7);
        }
    }

    /** The reference device, but for one fault in its kernels. */
    private static Device faulty(Fault fault) {
        Device sound = new ReferenceDevice();
        AtomicInteger calls = new AtomicInteger();
        Kernels kernels = proxy(Kernels.class, (_, method, arguments) -> {
            Object result = method.invoke(sound.kernels(), arguments);
            if (!method.getName().equals(fault.operation)) {
                return result;
            }
            int call = calls.incrementAndGet();
            boolean strikes = fault.kind != Kind.UNSTEADY || Integer.bitCount(call) % 2 == 0;
            return strikes ? fault.strike(arguments, result) : result;
        });
        return proxy(Device.class, (_, method, arguments) -> method.getName().equals("kernels")
                ? kernels
                : method.invoke(sound, arguments));
    }

    private static <T> T proxy(Class<T> type, InvocationHandler handler) {
        return type.cast(
                Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
