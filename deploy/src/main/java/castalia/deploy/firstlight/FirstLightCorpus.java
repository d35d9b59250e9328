package castalia.deploy.firstlight;

import castalia.workers.data.BpeTrainer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Makes {@code corpus.txt} and its {@code tokenizer.json} from the plain text of three books; see
 * {@code CORPUS.md} beside the result. Run by {@code deploy/first-light/build-corpus.sh}.
 */
public final class FirstLightCorpus {
    /** The line between two documents of {@code corpus.txt}. */
    public static final String SEPARATOR = "%%";

    /** Ids of the shipped tokenizer. */
    public static final int VOCABULARY = 4096;

    /** Narrative books, by the label of the package's verse references. */
    private static final Set<String> BOOKS =
            Set.of("Ge", "Exo", "Ruth", "1Sm", "2Sm", "Est", "Jonah", "Mat", "Mark", "Luke", "John",
                    "Acts");

    private static final Pattern VERSE = Pattern.compile("([0-9]?[A-Za-z]+)([0-9]+):[0-9]+ (.*)");

    /** Sections of the Jargon File that are lists, tables or not the editors' own text. */
    private static final Set<String> LEFT_OUT_SECTIONS =
            Set.of("Chapter 3. Revision History", "Chapter 4. Jargon Construction",
                    "Chapter 10. Pronunciation Guide", "Chapter 11. Other Lexicon Conventions",
                    "Chapter 12. Format for New Entries", "Appendix A. Hacker Folklore",
                    "The Story of Mel");

    /** Definitions that are slurs and nothing else. */
    private static final Set<String> LEFT_OUT_ENTRIES =
            Set.of("AFRICAN", "HEBREW", "MINSTREL", "MULATTO", "NEGRO");

    private static final Pattern ENTRY = Pattern.compile("([A-Z]{2}[A-Za-z' .()-]*), .*");

    /** The dictionary file ends with the alphabet its index sorts by. */
    private static final String INDEX_LINE = "abcdefghijklmnopqrstuvwxyz";

    private static final int SIGNATURE_INDENT = 12;

    private FirstLightCorpus() {}

    /**
     * Writes {@code corpus.txt} and {@code tokenizer.json}.
     *
     * @param arguments the files of the King James Bible (one labelled verse per line), the Jargon
     *     File and the Devil's Dictionary, and the folder to write to
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 4) {
            throw new IllegalArgumentException("needs KJV JARGON DEVIL FOLDER, got "
                    + String.join(" ", arguments));
        }
        List<String> documents = new ArrayList<>();
        documents.addAll(chapters(lines(arguments[0])));
        documents.addAll(sections(lines(arguments[1])));
        documents.addAll(entries(lines(arguments[2])));
        Path folder = Files.createDirectories(Path.of(arguments[3]));
        List<String> mixed = mixed(documents);
        Files.writeString(folder.resolve("corpus.txt"), String.join(SEPARATOR + "\n", mixed));
        Files.writeString(folder.resolve("tokenizer.json"),
                BpeTrainer.train(mixed, VOCABULARY).toJson());
    }

    private static List<String> lines(String file) throws IOException {
        return Files.readAllLines(Path.of(file)).stream()
                .map(line -> line.replace('\u00a0', ' ').stripTrailing())
                .toList();
    }

    /** The documents of a text in the form of {@code corpus.txt}. */
    public static List<String> documents(String corpus) {
        return Arrays.asList(corpus.split("(?m)^" + SEPARATOR + "\n", -1));
    }

    /** One document per chapter, one verse per line, labels removed. */
    static List<String> chapters(List<String> lines) {
        List<String> documents = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        String chapter = "";
        for (String line : lines) {
            Matcher verse = VERSE.matcher(line);
            if (!verse.matches() || !BOOKS.contains(verse.group(1))) {
                continue;
            }
            String label = verse.group(1) + verse.group(2);
            if (!label.equals(chapter)) {
                add(documents, text);
                chapter = label;
            }
            text.append(verse.group(3).strip()).append('\n');
        }
        add(documents, text);
        return documents;
    }

    /** One document per section of the introduction and of the first appendix. */
    static List<String> sections(List<String> lines) {
        List<String> documents = new ArrayList<>();
        documents.addAll(sections(lines, "Chapter 1.", "Part II."));
        documents.addAll(sections(lines, "Appendix A.", "Appendix B."));
        return documents;
    }

    private static List<String> sections(List<String> lines, String first, String end) {
        List<String> documents = new ArrayList<>();
        List<String> section = new ArrayList<>();
        String title = "";
        boolean inside = false;
        for (String line : lines) {
            if (drawsBox(line)) {
                continue;
            }
            if (line.strip().startsWith(end)) {
                inside = false;
            } else if (line.startsWith(first)) {
                inside = true;
            }
            boolean heading = !line.isEmpty() && line.charAt(0) != ' ';
            if (!inside || heading) {
                if (!LEFT_OUT_SECTIONS.contains(title)) {
                    add(documents, unwrapped(section));
                }
                section.clear();
                title = line;
            }
            if (inside) {
                section.add(line);
            }
        }
        return documents;
    }

    private static boolean drawsBox(String line) {
        return line.codePoints().anyMatch(c -> c >= 0x2500 && c <= 0x257f);
    }

    /** One document per definition; the preface is left out. */
    static List<String> entries(List<String> lines) {
        List<String> documents = new ArrayList<>();
        List<String> entry = new ArrayList<>();
        boolean wanted = false;
        boolean blank = true;
        for (String line : lines) {
            Matcher headword = ENTRY.matcher(line);
            if (blank && headword.matches()) {
                add(documents, unwrapped(entry));
                entry.clear();
                wanted = !LEFT_OUT_ENTRIES.contains(headword.group(1));
            }
            if (wanted && !line.strip().equals(INDEX_LINE)) {
                entry.add(line);
            }
            blank = line.isBlank();
        }
        add(documents, unwrapped(entry));
        return documents;
    }

    /**
     * Joins the lines of a paragraph; lines indented on their own account (verse, examples) stay.
     * The indentation all text of the section shares is removed, runs of blank lines become one, and
     * signatures set flush right are moved left.
     */
    private static StringBuilder unwrapped(List<String> lines) {
        int margin = lines.stream()
                .skip(1)
                .filter(line -> !line.isBlank())
                .mapToInt(FirstLightCorpus::indent)
                .boxed()
                .filter(indent -> indent == 0 || indent == 3)
                .min(Comparator.naturalOrder())
                .orElse(0);
        StringBuilder text = new StringBuilder();
        boolean joins = false;
        boolean blank = false;
        for (String line : lines) {
            if (line.isBlank()) {
                blank = true;
                joins = false;
                continue;
            }
            boolean prose = indent(line) == margin;
            if (joins && prose) {
                text.setCharAt(text.length() - 1, ' ');
            } else if (blank && text.length() > 0) {
                text.append('\n');
            }
            blank = false;
            joins = prose;
            int spaces = prose ? 0 : Math.clamp(indent(line) - margin, 0, SIGNATURE_INDENT);
            text.append(" ".repeat(spaces)).append(line.strip()).append('\n');
        }
        return text;
    }

    private static int indent(String line) {
        return line.length() - line.stripLeading().length();
    }

    private static void add(List<String> documents, StringBuilder text) {
        if (!text.toString().isBlank()) {
            documents.add(text.toString());
        }
        text.setLength(0);
    }

    /**
     * The documents in order of the SHA-256 of their text: mixed, so that any stretch of the file
     * is a fair sample of it, and the same every time.
     */
    static List<String> mixed(List<String> documents) {
        return documents.stream().sorted(Comparator.comparing(FirstLightCorpus::sha256)).toList();
    }

    private static String sha256(String text) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            return HexFormat.of().formatHex(digest.digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
