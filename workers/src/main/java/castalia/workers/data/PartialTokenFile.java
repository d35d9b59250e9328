package castalia.workers.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;

/**
 * A token file pair that is written over several tries: tokens and sizes grow in the folder {@code
 * PREFIX.partial}; its journal says how much of them is whole. Only {@link #finish} makes {@code
 * PREFIX.bin} and {@code PREFIX.idx}, the index last. One sequence is one document. Memory does not
 * grow with the file. Not for several threads; a second process is refused.
 */
public final class PartialTokenFile implements AutoCloseable {
    private static final int BUFFER_BYTES = 1 << 20;
    private static final String BEGIN_ANEW = "; --restart begins anew";

    private final Path prefix;
    private final WorkFolder work;
    private final Path folder;
    private final TokenDtype dtype;
    private final Output tokenOutput;
    private final Output sizeOutput;
    private PrepareJournal journal = PrepareJournal.START;
    private long sequences;
    private long tokens;
    private boolean broken;

    private PartialTokenFile(Path prefix, WorkFolder work, TokenDtype dtype) {
        this.prefix = prefix;
        this.work = work;
        this.folder = work.path();
        this.dtype = dtype;
        this.tokenOutput = new Output(file("tokens"));
        this.sizeOutput = new Output(file("sizes"));
    }

    /**
     * Opens the folder, or makes it.
     *
     * @param key what the content depends on; what was begun with another is refused
     * @param restart whether what is there is thrown away
     * @throws DataException if a file of the pair exists already that no earlier try put there, or
     *     the folder cannot be used
     */
    public static PartialTokenFile open(
            Path prefix, TokenDtype dtype, PrepareJournal.Key key, boolean restart) {
        Path index = TokenFile.indexPath(prefix);
        if (Files.exists(index)) {
            throw new DataException(
                    index + ": exists already; remove it or choose another prefix");
        }
        try {
            if (!Files.exists(WorkFolder.pathBeside(prefix))) {
                requireNoTokens(prefix);
            }
            WorkFolder work = WorkFolder.beside(prefix);
            try {
                PartialTokenFile file = new PartialTokenFile(prefix, work, dtype);
                file.begin(key, restart);
                return file;
            } catch (IOException | RuntimeException e) {
                work.close();
                throw e;
            }
        } catch (IOException e) {
            throw failed(prefix, e);
        }
    }

    private static void requireNoTokens(Path prefix) {
        Path bin = TokenFile.binPath(prefix);
        if (Files.exists(bin)) {
            throw new DataException(bin + ": exists already, without its index; remove it or choose"
                    + " another prefix");
        }
    }

    private void begin(PrepareJournal.Key key, boolean restart) throws IOException {
        PrepareJournal found = restart ? PrepareJournal.START : readJournal();
        boolean moved = found.complete() && !Files.exists(file("tokens"));
        if (!moved) {
            requireNoTokens(prefix);
        }
        if (found.documents() > 0) {
            check(key, found);
            if (moved) {
                requireMoved(found.tokens() * dtype.bytes());
            } else {
                tokenOutput.open(found.tokens() * dtype.bytes(), folder);
            }
            sizeOutput.open(found.sequences() * Integer.BYTES, folder);
            journal = found;
            sequences = found.sequences();
            tokens = found.tokens();
        } else {
            Files.deleteIfExists(file("journal"));
            tokenOutput.open(0, folder);
            sizeOutput.open(0, folder);
        }
        replace("inputs", String.join("\n", key.lines()) + "\n");
    }

    /** An earlier try stopped between putting the tokens and the index in place. */
    private void requireMoved(long bytes) throws IOException {
        Path bin = TokenFile.binPath(prefix);
        if (!Files.exists(bin) || Files.size(bin) != bytes) {
            throw new DataException(bin + ": is not what the journal in " + folder + " counts"
                    + BEGIN_ANEW);
        }
    }

    private PrepareJournal readJournal() throws IOException {
        Path path = file("journal");
        try {
            PrepareJournal read = PrepareJournal.of(Files.readString(path));
            if (read == null) { // JSON's null
                throw new DataException(path + ": is no journal" + BEGIN_ANEW);
            }
            return read;
        } catch (NoSuchFileException _) {
            return PrepareJournal.START;
        } catch (JsonProcessingException e) {
            throw new DataException(path + ": is no journal" + BEGIN_ANEW, e);
        }
    }

    /** Only what was used up already must be as it was. */
    private void check(PrepareJournal.Key key, PrepareJournal found) throws IOException {
        PrepareJournal.Key before = PrepareJournal.Key.ofLines(Files.readAllLines(file("inputs")));
        if (!before.settings().equals(key.settings())) {
            List<String> changed = key.settings().stream()
                    .filter(line -> !before.settings().contains(line))
                    .toList();
            throw new DataException(folder + ": was begun with other options (now "
                    + String.join(", ", changed) + "); repeat the command it was begun with"
                    + BEGIN_ANEW.replace("; ", ", or "));
        }
        int last = found.part();
        if (last >= before.parts().size()) {
            throw new DataException(file("journal") + ": does not fit the inputs it was written for"
                    + BEGIN_ANEW);
        }
        for (int i = 0; i <= last; i++) {
            String was = i < before.parts().size() ? before.parts().get(i) : "nothing";
            String is = i < key.parts().size() ? key.parts().get(i) : "nothing";
            // The part that was being read is compared by its content instead.
            boolean usedUp = i < last || found.complete();
            if (usedUp ? !was.equals(is) : !name(was).equals(name(is))) {
                throw new DataException(name(is.equals("nothing") ? was : is) + ": has changed"
                        + " since " + folder + " was begun (it was: " + was + "); restore the"
                        + " inputs, or begin anew with --restart");
            }
        }
    }

    /** Identities are size, version, name. */
    private static String name(String identity) {
        String[] words = identity.split(" ", 3);
        return words[words.length - 1];
    }

    private Path file(String name) {
        return folder.resolve(name);
    }

    /** The folder with what is not whole yet. */
    public Path folder() {
        return folder;
    }

    /** How far it was when it was opened or last saved. */
    public PrepareJournal journal() {
        return journal;
    }

    /** Sequences added, earlier tries included. */
    public long sequences() {
        return sequences;
    }

    /** Tokens added, earlier tries included. */
    public long tokens() {
        return tokens;
    }

    /** Whether a write has failed, so that only the last journal knows what is whole. */
    public boolean broken() {
        return broken;
    }

    /** Appends a document of at least one token. */
    public void add(int[] ids) {
        if (sequences == Integer.MAX_VALUE - 8) {
            throw new DataException(prefix + ": more than " + sequences + " documents");
        }
        try {
            if (dtype == TokenDtype.UINT16) {
                for (int id : ids) {
                    tokenOutput.room().putShort((short) id);
                }
            } else {
                for (int id : ids) {
                    tokenOutput.room().putInt(id);
                }
            }
            sizeOutput.room().putInt(ids.length);
        } catch (IOException e) {
            broken = true;
            throw failed(folder, e);
        }
        sequences++;
        tokens += ids.length;
    }

    /** Makes everything up to here survive the process and the machine. */
    public void save(PrepareJournal now) {
        try {
            tokenOutput.force();
            sizeOutput.force();
            replace("journal", now.toJson());
        } catch (IOException e) {
            broken = true;
            throw failed(folder, e);
        }
        journal = now;
    }

    private void replace(String name, String content) throws IOException {
        Path fresh = file(name + ".new");
        try (FileChannel channel = FileChannel.open(fresh, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = StandardCharsets.UTF_8.encode(content);
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
            channel.force(true);
        }
        Files.move(fresh, file(name), StandardCopyOption.ATOMIC_MOVE);
    }

    /** Writes the index and puts both files in place; call after the journal says complete. */
    public void finish() {
        if (sequences == 0) {
            throw new DataException(prefix + ": nothing to write, no text was found");
        }
        if (!journal.complete()) {
            throw new IllegalStateException("the inputs are not used up");
        }
        try {
            writeIndex();
            if (tokenOutput.isOpen()) {
                Files.move(file("tokens"), TokenFile.binPath(prefix),
                        StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(file("index"), TokenFile.indexPath(prefix),
                    StandardCopyOption.ATOMIC_MOVE);
            try (FileChannel parent = FileChannel.open(
                    Objects.requireNonNull(prefix.toAbsolutePath().getParent()),
                    StandardOpenOption.READ)) {
                parent.force(true);
            }
            work.remove();
        } catch (IOException e) {
            throw failed(prefix, e);
        }
    }

    private void writeIndex() throws IOException {
        try (Output index = new Output(file("index"))) {
            index.open(0, folder);
            index.room().put(TokenIndex.MAGIC).putLong(TokenIndex.VERSION)
                    .put((byte) dtype.code());
            index.room().putLong(sequences);
            index.room().putLong(sequences + 1);
            SizeReader sizes = new SizeReader(sizeOutput.channel());
            for (long i = 0; i < sequences; i++) {
                index.room().putInt(sizes.next());
            }
            sizes = new SizeReader(sizeOutput.channel());
            long pointer = 0;
            for (long i = 0; i < sequences; i++) {
                index.room().putLong(pointer);
                pointer += (long) sizes.next() * dtype.bytes();
            }
            for (long i = 0; i <= sequences; i++) {
                index.room().putLong(i);
            }
            index.force();
        }
    }

    private static DataException failed(Path path, IOException cause) {
        return new DataException(path + ": cannot be written (" + cause + "); check the folder's"
                + " rights and the free space, then repeat the command: it goes on where it"
                + " stopped", cause);
    }

    /** Keeps what an interrupted try can go on with, and removes the folder if that is nothing. */
    @Override
    public void close() {
        try {
            tokenOutput.close();
            sizeOutput.close();
            if (journal.documents() == 0) {
                work.remove();
            }
            work.close();
        } catch (IOException e) {
            throw failed(folder, e);
        }
    }

    /** A file that is appended to through a buffer. */
    private static final class Output implements AutoCloseable {
        private final Path path;
        private final ByteBuffer buffer =
                ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        private FileChannel channel;

        @SuppressWarnings("NullAway.Init") // opened once it is known how much of the file counts
        Output(Path path) {
            this.path = path;
        }

        /** Opens the file and cuts it to the bytes that count. */
        void open(long bytes, Path folder) throws IOException {
            FileChannel opened = FileChannel.open(path, StandardOpenOption.CREATE,
                    StandardOpenOption.READ, StandardOpenOption.WRITE);
            if (opened.size() < bytes) {
                opened.close();
                throw new DataException(path + ": has lost what the journal in " + folder
                        + " counts" + BEGIN_ANEW);
            }
            opened.truncate(bytes);
            opened.position(bytes);
            channel = opened;
        }

        boolean isOpen() {
            return channel != null;
        }

        FileChannel channel() {
            return channel;
        }

        /** The buffer, with room for the largest value and the header of an index. */
        ByteBuffer room() throws IOException {
            if (buffer.remaining() < 32) {
                drain();
            }
            return buffer;
        }

        private void drain() throws IOException {
            buffer.flip();
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            buffer.clear();
        }

        void force() throws IOException {
            if (channel != null) {
                drain();
                channel.force(true);
            }
        }

        @Override
        public void close() throws IOException {
            if (channel != null) {
                channel.close();
            }
        }
    }
}
