package castalia.checkpoints;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * File operations of which the n-th fails, alone or with all that follow it. The others happen, but
 * nothing is forced to disk: a process that dies loses no writes.
 */
public final class InterruptedFiles implements FileOperations {

    private final FileOperations files = FileOperations.real();
    private final int failing;
    private final boolean forGood;
    private final String message;
    private final boolean sparing;
    private int done;

    private InterruptedFiles(int failing, boolean forGood, String message, boolean sparing) {
        this.sparing = sparing;
        this.failing = failing;
        this.forGood = forGood;
        this.message = message;
    }

    /** From operation n (counted from 0) on nothing happens any more: the process has died. */
    public static InterruptedFiles dyingAt(int n) {
        return new InterruptedFiles(n, true, "the process died", false);
    }

    /** Operation n (counted from 0) fails once with a message. */
    public static InterruptedFiles failingAt(int n, String message) {
        return new InterruptedFiles(n, false, message, false);
    }

    /** The disk is full at operation n alone, where removing files is not counted. */
    public static InterruptedFiles fullAt(int n) {
        return new InterruptedFiles(n, false, "No space left on device", true);
    }

    /** Operations begun so far. */
    public synchronized int operations() {
        return done;
    }

    private synchronized void step() throws IOException {
        int current = done++;
        if (current == failing || (forGood && current > failing)) {
            throw new IOException(message);
        }
    }

    @Override
    public Output create(Path file) throws IOException {
        step();
        Output output = files.create(file);
        return new Output() {
            @Override
            public void write(ByteBuffer bytes) throws IOException {
                try {
                    step();
                } catch (IOException e) {
                    output.write(bytes.slice(bytes.position(), bytes.remaining() / 2));
                    throw e;
                }
                output.write(bytes);
            }

            @Override
            public void force() throws IOException {
                step();
            }

            @Override
            public void close() throws IOException {
                output.close();
            }
        };
    }

    @Override
    public void link(Path link, Path existing) throws IOException {
        step();
        files.link(link, existing);
    }

    @Override
    public void move(Path from, Path to) throws IOException {
        step();
        files.move(from, to);
    }

    @Override
    public boolean delete(Path file) throws IOException {
        if (!sparing) {
            step();
        }
        return files.delete(file);
    }

    @Override
    public void createDirectory(Path folder) throws IOException {
        step();
        files.createDirectory(folder);
    }

    @Override
    public void touch(Path file) throws IOException {
        step();
        files.touch(file);
    }

    @Override
    public void forceDirectory(Path folder) throws IOException {
        step();
    }

    @Override
    public long usableBytes(Path folder) throws IOException {
        return files.usableBytes(folder);
    }
}
