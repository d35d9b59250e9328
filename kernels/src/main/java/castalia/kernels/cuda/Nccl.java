package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.DeviceGroups;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The functions of NCCL that groups need, of version 2.14 or newer: the first whose calls do not wait
 * for other ranks. Communicators are addresses, and results NCCL's codes.
 */
final class Nccl {

    static final int SUCCESS = 0;
    static final int IN_PROGRESS = 7;

    private static final String NAME = "libnccl.so.2";
    private static final int OLDEST = 21400;
    private static final int VERSION_UNIT = 10000;
    private static final int BYTES = 0; // ncclInt8
    private static final int MAGIC = 0xcafebeef;
    private static final long CONFIG_BYTES = 24; // ncclConfig_t as of 2.14
    private static final MemoryLayout INVITATION =
            MemoryLayout.structLayout(MemoryLayout.sequenceLayout(
                    DeviceGroups.INVITATION_BYTES, JAVA_BYTE));

    private static final Map<String, Found> FOUND = new HashMap<>();

    private final MethodHandle invitation;
    private final MethodHandle join;
    private final MethodHandle state;
    private final MethodHandle abort;
    private final MethodHandle begin;
    private final MethodHandle end;
    private final MethodHandle send;
    private final MethodHandle receive;

    /**
     * What was looked for.
     *
     * @param library the library, if it will do
     * @param why else in one line why not
     */
    record Found(Optional<Nccl> library, String why) {}

    private Nccl(SymbolLookup library) {
        invitation = Foreign.status(library, "ncclGetUniqueId", ADDRESS);
        join = Linker.nativeLinker().downcallHandle(
                library.findOrThrow("ncclCommInitRankConfig"), FunctionDescriptor.of(
                        JAVA_INT, ADDRESS, JAVA_INT, INVITATION, JAVA_INT, ADDRESS));
        state = Foreign.status(library, "ncclCommGetAsyncError", JAVA_LONG, ADDRESS);
        abort = Foreign.status(library, "ncclCommAbort", JAVA_LONG);
        begin = Foreign.status(library, "ncclGroupStart");
        end = Foreign.status(library, "ncclGroupEnd");
        send = Foreign.status(library, "ncclSend", JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT,
                JAVA_LONG, JAVA_LONG);
        receive = Foreign.status(library, "ncclRecv", JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT,
                JAVA_LONG, JAVA_LONG);
    }

    /** Looks for the library, once, in the given folders, or where the system looks. */
    static synchronized Found find(String libraryPath) {
        return FOUND.computeIfAbsent(libraryPath, Nccl::look);
    }

    private static Found look(String libraryPath) {
        List<String> tried = new ArrayList<>();
        for (String folder : libraryPath.split(":", -1)) {
            String path = folder.isEmpty() ? NAME : folder + "/" + NAME;
            try {
                return of(path, Foreign.open(path));
            } catch (IllegalArgumentException _) {
                tried.add(path);
            }
        }
        return new Found(Optional.empty(), "no NCCL was found (tried " + String.join(", ", tried)
                + "); name its folder in castalia.gpu.library-path");
    }

    private static Found of(String path, SymbolLookup library) {
        int version = version(library);
        if (version < OLDEST || library.find("ncclCommInitRankConfig").isEmpty()) {
            return new Found(Optional.empty(), path + " is NCCL " + version / VERSION_UNIT + "."
                    + version % VERSION_UNIT / 100 + "." + version % 100 + "; 2.14 or newer is needed");
        }
        return new Found(Optional.of(new Nccl(library)), "");
    }

    private static int version(SymbolLookup library) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment version = arena.allocate(JAVA_INT);
            int code = (int) Foreign.status(library, "ncclGetVersion", ADDRESS)
                    .invokeExact(version);
            return code == SUCCESS ? version.get(JAVA_INT, 0) : 0;
        } catch (Throwable e) {
            throw Foreign.failed("ncclGetVersion", e);
        }
    }

    static void require(int code, String function) {
        if (code != SUCCESS) {
            throw new CudaException(function + " of NCCL answers " + code, code, false);
        }
    }

    Optional<byte[]> invitation() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment id = arena.allocate(INVITATION);
            return (int) invitation.invokeExact(id) == SUCCESS
                    ? Optional.of(id.toArray(JAVA_BYTE)) : Optional.empty();
        } catch (Throwable e) {
            throw Foreign.failed("ncclGetUniqueId", e);
        }
    }

    /** Starts to make a communicator; 0 if it cannot even begin. */
    long join(byte[] bytes, int ranks, int rank) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment id = arena.allocate(INVITATION);
            MemorySegment.copy(bytes, 0, id, JAVA_BYTE, 0, bytes.length);
            MemorySegment config = arena.allocate(CONFIG_BYTES, Long.BYTES);
            config.set(JAVA_LONG, 0, CONFIG_BYTES);
            config.set(JAVA_INT, 8, MAGIC);
            config.set(JAVA_INT, 12, OLDEST);
            config.set(JAVA_INT, 16, 0); // does not block
            MemorySegment communicator = arena.allocate(JAVA_LONG);
            int code = (int) join.invokeExact(communicator, ranks, id, rank, config);
            return code == SUCCESS || code == IN_PROGRESS ? communicator.get(JAVA_LONG, 0) : 0;
        } catch (Throwable e) {
            throw Foreign.failed("ncclCommInitRankConfig", e);
        }
    }

    /** Whether a communicator is done with what was begun, is not yet, or failed. */
    int state(long communicator) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(JAVA_INT);
            int code = (int) state.invokeExact(communicator, result);
            return code == SUCCESS ? result.get(JAVA_INT, 0) : code;
        } catch (Throwable e) {
            throw Foreign.failed("ncclCommGetAsyncError", e);
        }
    }

    void abort(long communicator) {
        try {
            int _ = (int) abort.invokeExact(communicator); // there is nothing to be done about it
        } catch (Throwable e) {
            throw Foreign.failed("ncclCommAbort", e);
        }
    }

    void begin() {
        try {
            require((int) begin.invokeExact(), "ncclGroupStart");
        } catch (Throwable e) {
            throw Foreign.failed("ncclGroupStart", e);
        }
    }

    /** Starts what was added since {@link #begin}; NCCL's code. */
    int end() {
        try {
            return (int) end.invokeExact();
        } catch (Throwable e) {
            throw Foreign.failed("ncclGroupEnd", e);
        }
    }

    void send(long memory, long bytes, int to, long communicator, long stream) {
        move(send, "ncclSend", memory, bytes, to, communicator, stream);
    }

    void receive(long memory, long bytes, int from, long communicator, long stream) {
        move(receive, "ncclRecv", memory, bytes, from, communicator, stream);
    }

    private static void move(MethodHandle handle, String function, long memory, long bytes, int peer,
            long communicator, long stream) {
        try {
            require((int) handle.invokeExact(memory, bytes, BYTES, peer, communicator, stream),
                    function);
        } catch (Throwable e) {
            throw Foreign.failed(function, e);
        }
    }
}
