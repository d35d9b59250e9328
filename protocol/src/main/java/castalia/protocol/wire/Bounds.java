package castalia.protocol.wire;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a kind of message may contain. Bytes are walked against it before a single object is made
 * from them, so that a message never costs much more memory than it has bytes.
 *
 * @param what name of the kind, for error messages
 * @param descriptor its schema
 * @param format newest format this build reads; field 1 holds a message's format
 * @param mostBytes longest message
 * @param repeated bounds of the repeated fields by name
 */
record Bounds(
        String what,
        Descriptor descriptor,
        int format,
        int mostBytes,
        Map<String, Repeated> repeated) {

    private static final int RECURSION = 8;

    /** Field 1, a varint. */
    private static final int FORMAT_TAG = 1 << 3 | WireFormat.WIRETYPE_VARINT;

    Bounds {
        repeated = Map.copyOf(repeated);
    }

    /**
     * Bounds of a repeated field.
     *
     * @param most most elements
     * @param shortest fewest bytes of an element
     * @param longest most bytes of an element
     */
    record Repeated(int most, int shortest, int longest) {}

    /** A stream over {@code bytes} with the recursion limit set. */
    static CodedInputStream stream(byte[] bytes) {
        CodedInputStream in = CodedInputStream.newInstance(bytes);
        in.setRecursionLimit(RECURSION);
        return in;
    }

    /** Checks size, format, field numbers, wire types and counts. */
    void check(byte[] bytes) throws MalformedMessageException {
        if (bytes.length == 0) {
            throw malformed("", "is empty");
        }
        if (bytes.length > mostBytes) {
            throw malformed("", "has " + bytes.length + " bytes; at most " + mostBytes
                    + " are allowed");
        }
        try {
            checkFormat(stream(bytes));
            walk(stream(bytes), descriptor, null);
        } catch (InvalidProtocolBufferException e) {
            throw malformed("", "is damaged: " + e.getMessage());
        } catch (IOException e) {
            throw malformed("", "cannot be read: " + e.getMessage());
        }
    }

    private void checkFormat(CodedInputStream in) throws IOException, MalformedMessageException {
        int tag = in.readTag();
        if (tag != FORMAT_TAG) {
            throw malformed("", "does not begin with its format number");
        }
        long found = in.readUInt64();
        if (found < 1) {
            throw malformed("format", found + " is no format");
        }
        if (found > format) {
            throw malformed("format", "the message has format " + found
                    + ", newer than this build, which reads formats up to " + format
                    + "; use a newer build");
        }
    }

    /** Where a message is found; put into words only for an error. */
    private record Place(@Nullable Place parent, FieldDescriptor field, int index) {

        static String path(@Nullable Place place) {
            return place == null ? "" : place.words();
        }

        String words() {
            String own = field.isRepeated() ? field.getName() + "[" + index + "]" : field.getName();
            return parent == null ? own : parent.words() + "." + own;
        }
    }

    private void walk(CodedInputStream in, Descriptor type, @Nullable Place place)
            throws IOException, MalformedMessageException {
        int[] counts = new int[type.getFields().size()];
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            FieldDescriptor field = type.findFieldByNumber(number);
            if (field == null) {
                throw malformed(Place.path(place), "has an unknown field " + number);
            }
            Place here = new Place(place, field, counts[field.getIndex()]++);
            if (WireFormat.getTagWireType(tag) != field.getLiteType().getWireType()) {
                throw malformed(
                        here.words(), "has wire type " + WireFormat.getTagWireType(tag));
            }
            Repeated bound = field.isRepeated() ? boundOf(field) : new Repeated(1, 0, mostBytes);
            if (here.index() >= bound.most()) {
                throw malformed(here.words(), bound.most() == 1
                        ? "occurs twice"
                        : "follows " + bound.most() + " others; more are not allowed");
            }
            if (WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_LENGTH_DELIMITED) {
                walkInside(in, field, bound, here);
            } else {
                in.skipField(tag);
            }
        }
    }

    private void walkInside(CodedInputStream in, FieldDescriptor field, Repeated bound, Place here)
            throws IOException, MalformedMessageException {
        int length = in.readRawVarint32();
        if (length < bound.shortest() || length > bound.longest()) {
            throw malformed(here.words(), "has " + length + " bytes; " + bound.shortest()
                    + " to " + bound.longest() + " are allowed");
        }
        if (field.getType() == FieldDescriptor.Type.MESSAGE) {
            int limit = in.pushLimit(length);
            walk(in, field.getMessageType(), here);
            in.popLimit(limit);
        } else {
            in.skipRawBytes(length);
        }
    }

    private Repeated boundOf(FieldDescriptor field) {
        Repeated bound = repeated.get(field.getName());
        if (bound == null) {
            throw new IllegalStateException("no bounds for " + field.getFullName());
        }
        return bound;
    }

    MalformedMessageException malformed(String where, String detail) {
        return new MalformedMessageException(what, where, detail);
    }
}
