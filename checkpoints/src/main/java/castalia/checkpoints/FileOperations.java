package castalia.checkpoints;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * Every file operation that changes storage, one by one, so that a test can interrupt each of them
 * and take away what was not yet durable. Reading goes to the file system directly.
 */
public interface FileOperations {

    /** The operating system's. */
    static FileOperations real() {
        return RealFiles.INSTANCE;
    }

    /**
     * Creates a new file for writing.
     *
     * @throws java.nio.file.FileAlreadyExistsException if something of that name exists, also a
     *     symbolic link
     */
    Output create(Path file) throws IOException;

    /**
     * Gives an existing file a second name.
     *
     * @throws java.nio.file.FileAlreadyExistsException if {@code link} exists
     */
    void link(Path link, Path existing) throws IOException;

    /** Renames atomically, replacing what stood at {@code to}. */
    void move(Path from, Path to) throws IOException;

    /** Removes a file or an empty folder; false if there was none. */
    boolean delete(Path file) throws IOException;

    /** Creates one folder unless it is there; its parent must exist. */
    void createDirectory(Path folder) throws IOException;

    /** Sets the time of last change to now, so that an age guard spares the file. */
    void touch(Path file) throws IOException;

    /** Makes the entries of a folder durable. */
    void forceDirectory(Path folder) throws IOException;

    /** Bytes that may still be written below a folder. */
    long usableBytes(Path folder) throws IOException;

    /** A file being written. Closing does not make it durable. */
    interface Output extends AutoCloseable {

        /** Writes all remaining bytes. */
        void write(ByteBuffer bytes) throws IOException;

        /** Makes content and length durable. After an exception the file must be given up. */
        void force() throws IOException;

        @Override
        void close() throws IOException;
    }
}
