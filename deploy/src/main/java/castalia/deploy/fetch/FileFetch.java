package castalia.deploy.fetch;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Brings one file, over several tries. What came so far lies beside the final name as {@code
 * NAME.HASH.partial}; a try, or a later run, asks for the rest of it. The final name is given to a
 * whole and verified file only. For one thread.
 */
final class FileFetch {
    private static final Pattern CONTENT_RANGE =
            Pattern.compile("bytes (\\d{1,18})-(\\d{1,18})/(\\d{1,18}|\\*)");

    private final HubClient client;
    private final URI address;
    private final HubFile file;
    private final Path place;
    private final Path partial;
    private final LongConsumer gained;
    private String tag = "";

    /**
     * @param place the final name; its folder exists
     * @param gained is told bytes that came, and below zero, bytes that were thrown away
     */
    FileFetch(HubClient client, URI address, HubFile file, Path place, LongConsumer gained)
            throws IOException {
        this.client = client;
        this.address = address;
        this.file = file;
        this.place = place;
        this.partial = partial(place, file);
        this.gained = gained;
        gained.accept(present());
    }

    /** Where a file lies until it is whole. */
    static Path partial(Path place, HubFile file) {
        return place.resolveSibling(
                place.getFileName() + "." + file.hash().substring(0, 12) + ".partial");
    }

    /** Bytes that are here. */
    long present() throws IOException {
        return Files.exists(partial) ? Files.size(partial) : 0;
    }

    /**
     * Tries once. When it returns the file is in place.
     *
     * @throws IOException if it is not; what came is kept for the next try, unless it is wrong
     */
    void attempt() throws IOException {
        if (present() > file.bytes()) {
            discard();
        }
        if (present() < file.bytes() || file.bytes() == 0) {
            receive();
        }
        String hash = file.hashOf(partial);
        if (!hash.equals(file.hash())) {
            discard();
            throw FetchException.passing(file.path() + ": the hash of what came is " + hash
                    + ", the hub lists " + file.hash());
        }
        try (FileChannel whole = FileChannel.open(partial, StandardOpenOption.WRITE)) {
            whole.force(true);
        }
        Files.move(partial, place, StandardCopyOption.ATOMIC_MOVE);
    }

    private void discard() throws IOException {
        gained.accept(-present());
        Files.deleteIfExists(partial);
        tag = "";
    }

    private void receive() throws IOException {
        Map<String, String> headers = new HashMap<>();
        long from = present();
        if (from > 0) {
            headers.put("Range", "bytes=" + from + "-");
            if (tag.startsWith("\"")) {
                headers.put("If-Range", tag);
            }
        }
        try (HubClient.Answer answer = client.get(address, headers)) {
            if (answer.status() == 416) {
                discard();
                throw FetchException.passing(file.path() + ": the server has no bytes after "
                        + from + " of " + file.bytes());
            }
            HubClient.requireOk(address, answer);
            boolean rest = answer.status() == 206 && continues(answer, from);
            if (!rest) {
                discard();
                if (answer.status() == 206) {
                    throw FetchException.passing(
                            file.path() + " was changed at the server, or is served wrongly");
                }
                requireLength(answer.header("Content-Length"));
            }
            tag = answer.header("ETag");
            try (FileChannel out = FileChannel.open(partial, StandardOpenOption.CREATE,
                    StandardOpenOption.WRITE)) {
                copy(answer, out.position(rest ? from : 0), rest ? from : 0);
            }
        }
    }

    /** Whether an answer is the rest of what is here, of the same content and size. */
    private boolean continues(HubClient.Answer answer, long from) {
        Matcher range = CONTENT_RANGE.matcher(answer.header("Content-Range"));
        String now = answer.header("ETag");
        return range.matches()
                && Long.parseLong(range.group(1)) == from
                && (range.group(3).equals("*") || Long.parseLong(range.group(3)) == file.bytes())
                && (tag.isEmpty() || now.isEmpty() || now.equals(tag));
    }

    private void requireLength(String length) throws FetchException {
        if (!length.isEmpty() && !length.equals(Long.toString(file.bytes()))) {
            throw FetchException.passing(file.path() + ": the server sends " + length
                    + " bytes, the hub lists " + file.bytes());
        }
    }

    private void copy(HubClient.Answer answer, FileChannel out, long from) throws IOException {
        byte[] buffer = new byte[1 << 17];
        long at = from;
        for (int n = answer.read(buffer); n >= 0; n = answer.read(buffer)) {
            if (at + n > file.bytes()) {
                discard();
                throw FetchException.passing(file.path() + ": more than the " + file.bytes()
                        + " bytes come that the hub lists");
            }
            write(out, ByteBuffer.wrap(buffer, 0, n));
            at += n;
            gained.accept(n);
        }
        if (at < file.bytes()) {
            throw FetchException.passing(
                    file.path() + ": only " + at + " of " + file.bytes() + " bytes came");
        }
    }

    private void write(FileChannel out, ByteBuffer piece) {
        try {
            while (piece.hasRemaining()) {
                out.write(piece);
            }
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED, partial + ": cannot be written ("
                    + e.getMessage() + "); the same command goes on", e);
        }
    }
}
