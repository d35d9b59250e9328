package castalia.checkpoints.hub;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.DamagedFileException;
import castalia.checkpoints.FileOperations;
import castalia.checkpoints.StorageFullException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.List;
import java.util.SequencedMap;

/**
 * A safetensors file, mapped read-only. The format: a 64-bit length n, n bytes of JSON, then the
 * tensors' data, little-endian and row-major, without gaps. The header is checked whole before any
 * data is given out; the file must not change while it is open.
 */
public final class Safetensors implements AutoCloseable {

    /** Most bytes asked of a {@link Source} at once; a multiple of every element size. */
    static final int PIECE_BYTES = 1 << 20;

    private final Path file;
    private final SafetensorsHeader header;
    private final MemorySegment data;
    private final Arena arena;

    private Safetensors(Path file, SafetensorsHeader header, MemorySegment data, Arena arena) {
        this.file = file;
        this.header = header;
        this.data = data;
        this.arena = arena;
    }

    /**
     * Opens a file and checks its header.
     *
     * @throws DamagedFileException if it is truncated or its header does not describe it
     */
    @SuppressWarnings("MustBeClosedChecker") // The opened file owns the arena and closes it.
    public static Safetensors open(Path file) throws IOException {
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            long size = channel.size();
            if (size < 8) {
                throw new DamagedFileException(file, size,
                        "no safetensors file: it has " + size + " bytes");
            }
            ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
            readFully(file, channel, length, 0);
            long headerBytes = length.getLong(0);
            if (headerBytes < 2 || headerBytes > SafetensorsHeader.MAX_BYTES) {
                throw new DamagedFileException(file, 0, "no safetensors file: it declares a header"
                        + " of " + Long.toUnsignedString(headerBytes) + " bytes; at most "
                        + SafetensorsHeader.MAX_BYTES + " are accepted");
            }
            if (headerBytes > size - 8) {
                throw new DamagedFileException(file, size, "the file is truncated: it declares a"
                        + " header of " + headerBytes + " bytes, but there are " + (size - 8));
            }
            byte[] json = new byte[(int) headerBytes];
            readFully(file, channel, ByteBuffer.wrap(json), 8);
            long dataBytes = size - 8 - headerBytes;
            SafetensorsHeader header = SafetensorsHeader.parse(file, json, dataBytes);
            MemorySegment data = dataBytes == 0
                    ? MemorySegment.NULL
                    : channel.map(MapMode.READ_ONLY, 8 + headerBytes, dataBytes, arena);
            return new Safetensors(file, header, data, arena);
        } catch (NoSuchFileException e) {
            arena.close();
            throw new CheckpointException(file + " does not exist", e);
        } catch (IOException | RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    private static void readFully(Path file, FileChannel channel, ByteBuffer into, long position)
            throws IOException {
        int start = into.position();
        while (into.hasRemaining()) {
            if (channel.read(into, position + into.position() - start) < 0) {
                throw new DamagedFileException(
                        file, position + into.position() - start, "the file is truncated");
            }
        }
    }

    public Path file() {
        return file;
    }

    /** All tensors in the order of their data. */
    public List<TensorInfo> tensors() {
        return header.tensors().values().stream().map(SafetensorsHeader.Entry::info).toList();
    }

    /** The {@code __metadata__} strings; empty where there are none. */
    public SequencedMap<String, String> metadata() {
        return header.metadata();
    }

    public boolean contains(String name) {
        return header.tensors().containsKey(name);
    }

    public TensorInfo info(String name) throws IOException {
        return entry(name).info();
    }

    /**
     * The bytes of a tensor as they lie in the file: read-only, little-endian, perhaps not aligned,
     * valid until this is closed.
     */
    public MemorySegment data(String name) throws IOException {
        SafetensorsHeader.Entry entry = entry(name);
        return data.asSlice(entry.begin(), entry.end() - entry.begin());
    }

    private SafetensorsHeader.Entry entry(String name) throws IOException {
        SafetensorsHeader.Entry entry = header.tensors().get(name);
        if (entry == null) {
            throw new CheckpointException(file + " has no tensor " + name);
        }
        return entry;
    }

    @Override
    public void close() {
        arena.close();
    }

    /** Gives the bytes of tensors that are being written. */
    @FunctionalInterface
    public interface Source {

        /**
         * Fills {@code destination} with the tensor's bytes from {@code offset} on, little-endian.
         * Called in ascending order; a piece ends at an element's end.
         */
        void read(TensorInfo tensor, long offset, MemorySegment destination) throws IOException;
    }

    /**
     * Writes a new file; the same input gives the same bytes. Makes the file durable, not its name.
     *
     * @return bytes of the file
     */
    public static long write(
            FileOperations files,
            Path file,
            Collection<TensorInfo> tensors,
            SequencedMap<String, String> metadata,
            Source source)
            throws IOException {
        SafetensorsHeader header = SafetensorsHeader.of(List.copyOf(tensors), metadata);
        byte[] json = header.encode();
        if (json.length > SafetensorsHeader.MAX_BYTES) {
            throw new IllegalArgumentException("header of " + json.length + " bytes");
        }
        long bytes = 8 + json.length + header.dataBytes();
        try (Arena arena = Arena.ofConfined();
                FileOperations.Output output = files.create(file)) {
            ByteBuffer start = ByteBuffer.allocate(8 + json.length).order(ByteOrder.LITTLE_ENDIAN);
            output.write(start.putLong(json.length).put(json).flip());
            MemorySegment piece = arena.allocate(PIECE_BYTES, ValueLayout.JAVA_DOUBLE.byteSize());
            for (SafetensorsHeader.Entry entry : header.tensors().values()) {
                long size = entry.info().bytes();
                for (long at = 0; at < size; at += PIECE_BYTES) {
                    MemorySegment part = piece.asSlice(0, Math.min(PIECE_BYTES, size - at));
                    source.read(entry.info(), at, part);
                    output.write(part.asByteBuffer());
                }
            }
            output.force();
        } catch (IOException e) {
            throw StorageFullException.orCause(files, file, bytes, e);
        }
        return bytes;
    }
}
