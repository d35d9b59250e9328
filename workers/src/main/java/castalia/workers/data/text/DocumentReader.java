package castalia.workers.data.text;

import castalia.workers.data.DataException;
import castalia.workers.data.text.TextFormat.Compression;
import com.github.luben.zstd.ZstdInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;

/**
 * Reads documents one after another; only one is held. Empty documents and blank JSON lines are
 * left out. Not for several threads.
 */
public final class DocumentReader implements AutoCloseable {
    /** A document is held in memory as a whole; a larger one is refused. */
    public static final int MAXIMUM_DOCUMENT_BYTES = 64 << 20;

    private static final int BUFFER_BYTES = 1 << 16;

    private final List<TextPart> parts;
    private final byte[] mark;
    private int part;
    private long storedBefore;
    private long count;
    private @Nullable Counted stored;
    private @Nullable ByteLines lines;
    private @Nullable ZipFile archive;
    private @Nullable DataException failure;

    DocumentReader(List<TextPart> parts, TextOptions options, int firstPart) {
        this.parts = parts;
        this.mark = options.separator()
                .map(line -> line.getBytes(StandardCharsets.UTF_8))
                .orElse(new byte[0]);
        this.part = firstPart;
        for (int i = 0; i < firstPart; i++) {
            storedBefore += parts.get(i).bytes();
        }
    }

    /**
     * The next document, or null after the last.
     *
     * @throws DataException with the file and the place if one cannot be read or is too large; the
     *     same whenever it is called again
     */
    public @Nullable RawDocument next() {
        if (failure != null) {
            throw failure;
        }
        try {
            RawDocument document = read();
            count += document == null ? 0 : 1;
            return document;
        } catch (DataException e) {
            failure = e;
            throw e;
        }
    }

    private @Nullable RawDocument read() {
        while (part < parts.size()) {
            TextPart current = parts.get(part);
            ByteLines input = lines;
            try {
                if (input == null) {
                    input = open(current);
                    lines = input;
                }
                RawDocument document = current.format().lines() ? line(input) : document(input);
                if (document != null) {
                    return document;
                }
                closePart();
            } catch (IOException e) {
                throw damaged(current, input, e);
            }
            storedBefore += current.bytes();
            part++;
        }
        return null;
    }

    /** Documents given so far. */
    public long count() {
        return count;
    }

    /** Bytes of the parts as stored that were read so far. */
    public long position() {
        return storedBefore + (stored == null ? 0 : stored.count);
    }

    private ByteLines open(TextPart current) throws IOException {
        Counted raw = new Counted(current.entry().isPresent()
                ? entry(current, current.entry().get())
                : Files.newInputStream(current.file()));
        stored = raw;
        if (current.bytes() == 0 && current.format().compression() != Compression.NONE) {
            throw new IOException("it is empty");
        }
        return new ByteLines(switch (current.format().compression()) {
            case NONE -> raw;
            case GZIP -> new WholeGzip(raw);
            case ZSTANDARD -> new ZstdInputStream(raw);
        }, MAXIMUM_DOCUMENT_BYTES);
    }

    /** The JDK's own takes a damaged header of a further member for the end of the file. */
    private static final class WholeGzip extends GZIPInputStream {

        private static final int TRAILER_BYTES = 8;

        private WholeGzip(InputStream in) throws IOException {
            super(in, BUFFER_BYTES);
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int count = super.read(into, offset, length);
            if (count < 0 && (inf.getRemaining() > TRAILER_BYTES || in.read() >= 0)) {
                throw new IOException("what follows is not compressed data");
            }
            return count;
        }
    }

    private InputStream entry(TextPart current, String name) throws IOException {
        ZipFile zip = archive;
        if (zip == null || !zip.getName().equals(current.file().toString())) {
            closeArchive();
            zip = new ZipFile(current.file().toFile(), StandardCharsets.UTF_8);
            archive = zip;
        }
        ZipEntry entry = zip.getEntry(name);
        if (entry == null) {
            throw new IOException("the archive has no such entry any more");
        }
        return zip.getInputStream(entry);
    }

    private @Nullable RawDocument line(ByteLines input) throws IOException {
        while (input.next()) {
            if (input.tooLong()) {
                throw new DataException(parts.get(part).name() + ": line " + input.number()
                        + " is longer than " + MAXIMUM_DOCUMENT_BYTES + " bytes");
            }
            byte[] content = input.withoutEnd();
            if (!blank(content)) {
                return new RawDocument(part, input.number(), content);
            }
        }
        return null;
    }

    private static boolean blank(byte[] line) {
        for (byte b : line) {
            if (b != ' ' && b != '\t') {
                return false;
            }
        }
        return true;
    }

    private @Nullable RawDocument document(ByteLines input) throws IOException {
        ByteArrayOutputStream document = new ByteArrayOutputStream();
        long start = input.offset();
        while (input.next()) {
            if (mark.length > 0 && Arrays.equals(input.withoutEnd(mark.length + 2), mark)) {
                if (document.size() > 0) {
                    break;
                }
                start = input.offset();
                continue;
            }
            if (input.tooLong() || document.size() + input.length() > MAXIMUM_DOCUMENT_BYTES) {
                throw new DataException(parts.get(part).name() + ": the document at byte " + start
                        + " is larger than " + MAXIMUM_DOCUMENT_BYTES
                        + " bytes; cut the file, or give a separator line");
            }
            input.appendTo(document);
        }
        return document.size() == 0 ? null : new RawDocument(part, start, document.toByteArray());
    }

    private static DataException damaged(
            TextPart part, @Nullable ByteLines input, IOException cause) {
        String place = input == null
                ? ""
                : part.format().lines() ? "line " + (input.number() + 1) + ": "
                        : "byte " + input.offset() + ": ";
        String what = part.entry().isEmpty()
                        && part.format().compression() == Compression.NONE
                ? "cannot be read"
                : "is cut off or damaged";
        String reason = cause.getMessage() == null ? "unexpected end" : cause.getMessage();
        return new DataException(
                part.name() + ": " + place + what + " (" + reason + "); get the file again", cause);
    }

    private void closePart() throws IOException {
        ByteLines input = lines;
        lines = null;
        stored = null;
        if (input != null) {
            input.close();
        }
    }

    private void closeArchive() throws IOException {
        ZipFile zip = archive;
        archive = null;
        if (zip != null) {
            zip.close();
        }
    }

    @Override
    public void close() {
        try {
            closePart();
            closeArchive();
        } catch (IOException e) {
            throw new DataException("an input cannot be closed (" + e + ")", e);
        }
    }

    /** Counts what is read of a part as it is stored. */
    private static final class Counted extends FilterInputStream {
        long count;

        Counted(InputStream in) {
            super(in);
        }

        @Override
        public int read() throws IOException {
            int b = super.read();
            count += b < 0 ? 0 : 1;
            return b;
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            int n = super.read(target, offset, length);
            count += Math.max(0, n);
            return n;
        }
    }
}
