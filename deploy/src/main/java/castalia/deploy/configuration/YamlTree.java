package castalia.deploy.configuration;

import castalia.deploy.configuration.YamlValue.Pair;
import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.configuration.YamlValue.Scalar;
import castalia.deploy.configuration.YamlValue.Sequence;
import castalia.deploy.configuration.YamlValue.ScalarType;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/** Parses YAML text. Anchors, tags of other schemas and deep nesting are refused. */
final class YamlTree {

    /** Most characters of a configuration file. */
    static final int LONGEST = 1 << 20;

    private static final int DEEPEST = 12;

    /** Two of the largest maps of words and more; a value takes a kilobyte while it is read. */
    private static final int MOST_VALUES = 50_000;

    private YamlTree() {}

    /** What is wrong with a text that is not YAML. */
    static final class NotYamlException extends Exception {

        private static final long serialVersionUID = 1L;

        private final int line;

        NotYamlException(int line, String message) {
            super(message);
            this.line = line;
        }

        int line() {
            return line;
        }
    }

    /** The mapping that the text consists of. */
    static Mapping parse(String text) throws NotYamlException {
        if (text.length() > LONGEST) {
            throw new NotYamlException(1, "is longer than " + LONGEST + " characters");
        }
        LoadSettings settings = LoadSettings.builder()
                .setSchema(new CoreSchema())
                .setUseMarks(true)
                .setBufferSize(text.length() + 1) // a word is copied anew for every piece of it
                .build();
        Optional<Node> root;
        try {
            requireSmall(new Parse(settings).parseString(text));
            root = new Compose(settings).composeString(text);
        } catch (MarkedYamlEngineException e) {
            Optional<Mark> mark = e.getProblemMark().or(e::getContextMark);
            int line = mark.map(Mark::getLine).orElse(0) + 1;
            throw new NotYamlException(line, "is not YAML"
                    + mark.map(at -> " (column " + (at.getColumn() + 1) + ")").orElse("")
                    + ": " + problem(e, text, line));
        } catch (YamlEngineException e) {
            String message = String.valueOf(e.getMessage());
            throw new NotYamlException(1, "is not YAML: " + firstLine(message));
        }
        if (root.isEmpty()) {
            throw new NotYamlException(1, "is empty");
        }
        YamlValue value = value(root.get());
        return switch (value) {
            case Mapping mapping -> mapping;
            case Scalar _, Sequence _ -> throw new NotYamlException(
                    value.line(), "must consist of keys and values, not of " + value.words());
        };
    }

    /**
     * Refuses deep nesting and very many values from the flat stream of events: building the tree
     * recurses, and takes memory.
     */
    private static void requireSmall(Iterable<Event> events) throws NotYamlException {
        int depth = 0;
        int values = 0;
        for (Event event : events) {
            if (++values > MOST_VALUES) {
                throw new NotYamlException(line(event), "has more than " + MOST_VALUES + " values");
            }
            switch (event.getEventId()) {
                case MappingStart, SequenceStart -> depth++;
                case MappingEnd, SequenceEnd -> depth--;
                case Alias, Comment, DocumentEnd, DocumentStart, Scalar, StreamEnd, StreamStart -> {
                    // no nesting
                }
            }
            if (depth > DEEPEST) {
                throw new NotYamlException(line(event), "is nested deeper than " + DEEPEST + " levels");
            }
        }
    }

    private static String problem(MarkedYamlEngineException e, String text, int line) {
        String problem = firstLine(e.getProblem());
        if (!problem.startsWith("expected ',' or")) {
            return problem;
        }
        List<String> lines = text.lines().limit(line - 1L).toList();
        for (int i = lines.size(); i >= 1; i--) {
            String before = lines.get(i - 1).strip();
            if (!before.isEmpty() && !before.startsWith("#")) {
                return problem + "; is a comma missing at the end of line " + i + "?";
            }
        }
        return problem;
    }

    private static String firstLine(String text) {
        return text.lines().findFirst().orElse("unreadable");
    }

    private static YamlValue value(Node node) throws NotYamlException {
        int line = line(node);
        if (node.getAnchor().isPresent()) {
            throw new NotYamlException(line, "uses an anchor or alias; write the value out");
        }
        return switch (node) {
            case ScalarNode scalar -> new Scalar(type(scalar), scalar.getValue(), line);
            case SequenceNode sequence -> {
                List<YamlValue> items = new ArrayList<>();
                for (Node item : sequence.getValue()) {
                    items.add(value(item));
                }
                yield new Sequence(items, line);
            }
            case MappingNode mapping -> {
                List<Pair> entries = new ArrayList<>();
                for (NodeTuple tuple : mapping.getValue()) {
                    Node key = tuple.getKeyNode();
                    if (!(key instanceof ScalarNode name)) {
                        throw new NotYamlException(line(key), "has a key that is no word");
                    }
                    entries.add(new Pair(
                            name.getValue(), line(key), value(tuple.getValueNode())));
                }
                yield new Mapping(entries, line);
            }
            default -> throw new NotYamlException(line, "uses an anchor or alias");
        };
    }

    private static ScalarType type(ScalarNode scalar) throws NotYamlException {
        Tag tag = scalar.getTag();
        if (tag.equals(Tag.STR)) {
            return ScalarType.TEXT;
        }
        if (tag.equals(Tag.INT)) {
            return ScalarType.INTEGER;
        }
        if (tag.equals(Tag.FLOAT)) {
            return ScalarType.NUMBER;
        }
        if (tag.equals(Tag.BOOL)) {
            return ScalarType.BOOLEAN;
        }
        if (tag.equals(Tag.NULL)) {
            return ScalarType.NULL;
        }
        throw new NotYamlException(
                line(scalar), "uses the tag " + tag + ", which is not supported");
    }

    private static int line(Event event) {
        return event.getStartMark().map(Mark::getLine).orElse(0) + 1;
    }

    private static int line(Node node) {
        return node.getStartMark().map(Mark::getLine).orElse(0) + 1;
    }
}
