package castalia.workers.data;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.ObjIntConsumer;
import java.util.stream.Stream;

/**
 * Makes a token file from plain text: every document becomes one sequence of tokens.
 *
 * <p>A file is one document, or, with a separator, as many as lines consisting of the separator cut
 * it into. A document is exactly the bytes between, its last line end included; empty ones are
 * left out. Text must be UTF-8. Files are read one after another in the order given; a folder
 * stands for its {@code .txt} files at any depth, in the order of their relative paths.
 */
public final class TextPreparer {
    /** A document is held in memory as a whole; a larger one is refused. */
    static final int MAXIMUM_DOCUMENT_BYTES = 64 << 20;

    /**
     * How text becomes tokens.
     *
     * @param separator the line that separates documents, without its end
     * @param appendEndOfDocument whether each document ends with the tokenizer's end-of-document id
     */
    public record Options(Optional<String> separator, boolean appendEndOfDocument) {
        public Options {
            separator.ifPresent(line -> {
                if (line.isEmpty() || line.contains("\n") || line.contains("\r")) {
                    throw new DataException("separator '" + line.strip()
                            + "': must be one line and not empty");
                }
            });
        }
    }

    /** What was written. */
    public record Summary(long files, long documents, long bytes, long tokens, TokenDtype dtype) {}

    private final Tokenizer tokenizer;
    private final Options options;
    private long documents;
    private long bytes;

    private TextPreparer(Tokenizer tokenizer, Options options) {
        this.tokenizer = tokenizer;
        this.options = options;
    }

    /**
     * Writes {@code prefix.idx} and {@code prefix.bin}. Nothing is left when it fails.
     *
     * @param inputs text files and folders, in order
     * @throws DataException if an input is missing, empty or not UTF-8, or the output cannot be
     *     written
     */
    public static Summary prepare(
            List<Path> inputs, Tokenizer tokenizer, Options options, Path prefix) {
        List<Path> files = files(inputs);
        TextPreparer preparer = new TextPreparer(tokenizer, options);
        int vocabularySize = tokenizer.vocabularySize();
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, vocabularySize)) {
            for (Path file : files) {
                documents(file, options.separator(),
                        (text, utf8) -> preparer.add(text, utf8, writer));
            }
            writer.finish();
            return new Summary(files.size(), preparer.documents, preparer.bytes, writer.tokens(),
                    TokenDtype.forVocabulary(vocabularySize));
        }
    }

    private void add(String document, int utf8Bytes, TokenFileWriter writer) {
        int[] tokens = tokenizer.encode(document);
        int length = tokens.length;
        if (options.appendEndOfDocument()) {
            tokens = Arrays.copyOf(tokens, length + 1);
            tokens[length++] = tokenizer.endOfDocument();
        }
        if (length == 0) {
            return; // A normaliser may leave nothing of a document.
        }
        writer.addDocument(tokens, length);
        documents++;
        bytes += utf8Bytes;
    }

    /** The files that inputs stand for, in the order they are read. */
    static List<Path> files(List<Path> inputs) {
        List<Path> files = new ArrayList<>();
        for (Path input : inputs) {
            if (!Files.exists(input)) {
                throw new DataException(input + ": no such file or folder");
            }
            if (!Files.isDirectory(input)) {
                files.add(input);
                continue;
            }
            int before = files.size();
            try (Stream<Path> found = Files.walk(input)) {
                found.filter(path -> path.toString().endsWith(".txt") && Files.isRegularFile(path))
                        .sorted(Comparator.comparing(path -> input.relativize(path).toString()))
                        .forEach(files::add);
            } catch (IOException e) {
                throw unreadable(input, e);
            }
            if (files.size() == before) {
                throw new DataException(input + ": the folder holds no .txt file");
            }
        }
        return files;
    }

    /** Gives a file's documents and their sizes in bytes; only one is held in memory. */
    static void documents(Path file, Optional<String> separator, ObjIntConsumer<String> consumer) {
        byte[] mark = separator.map(line -> line.getBytes(StandardCharsets.UTF_8))
                .orElse(new byte[0]);
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file), 1 << 16)) {
            Collector collector = new Collector(file, mark, consumer);
            byte[] piece = new byte[1 << 16];
            for (int n = in.read(piece); n >= 0; n = in.read(piece)) {
                for (int i = 0; i < n; i++) {
                    collector.add(piece[i]);
                }
            }
            collector.end();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static DataException unreadable(Path path, IOException cause) {
        return new DataException(path + ": cannot be read (" + cause + ")", cause);
    }

    /** Cuts a stream of bytes into documents. */
    private static final class Collector {
        private final Path file;
        private final byte[] mark;
        private final ObjIntConsumer<String> consumer;
        private final ByteArrayOutputStream document = new ByteArrayOutputStream();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private long position;
        private long start;

        Collector(Path file, byte[] mark, ObjIntConsumer<String> consumer) {
            this.file = file;
            this.mark = mark;
            this.consumer = consumer;
        }

        void add(byte value) {
            line.write(value);
            position++;
            if (line.size() + document.size() > MAXIMUM_DOCUMENT_BYTES) {
                throw new DataException(file + ": the document at byte " + start + " is larger than "
                        + MAXIMUM_DOCUMENT_BYTES + " bytes; cut the file, or give a separator line");
            }
            if (value == '\n') {
                endLine();
            }
        }

        private void endLine() {
            if (mark.length > 0 && isMark()) {
                line.reset();
                endDocument();
            } else {
                document.writeBytes(line.toByteArray());
                line.reset();
            }
        }

        private boolean isMark() {
            byte[] bytes = line.toByteArray();
            int length = bytes.length;
            if (length > 0 && bytes[length - 1] == '\n') {
                length--;
            }
            if (length > 0 && bytes[length - 1] == '\r') {
                length--;
            }
            return Arrays.equals(bytes, 0, length, mark, 0, mark.length);
        }

        void end() {
            endLine();
            endDocument();
        }

        private void endDocument() {
            if (document.size() > 0) {
                byte[] utf8 = document.toByteArray();
                consumer.accept(decode(utf8), utf8.length);
            }
            document.reset();
            start = position;
        }

        private String decode(byte[] utf8) {
            CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
            ByteBuffer in = ByteBuffer.wrap(utf8);
            CharBuffer out = CharBuffer.allocate(utf8.length);
            CoderResult result = decoder.decode(in, out, true);
            if (result.isError()) {
                throw new DataException(file + ": byte " + (start + in.position())
                        + " is not UTF-8; convert the file, for example with iconv");
            }
            return out.flip().toString();
        }
    }
}
