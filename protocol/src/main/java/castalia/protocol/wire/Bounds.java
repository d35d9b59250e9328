package castalia.protocol.wire;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.util.Map;

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
            walk(stream(bytes), descriptor, "");
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

    private void walk(CodedInputStream in, Descriptor type, String path)
            throws IOException, MalformedMessageException {
        int[] counts = new int[type.getFields().size()];
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            FieldDescriptor field = type.findFieldByNumber(number);
            if (field == null) {
                throw malformed(path, "has an unknown field " + number);
            }
            String name = path.isEmpty() ? field.getName() : path + "." + field.getName();
            if (WireFormat.getTagWireType(tag) != field.getLiteType().getWireType()) {
                throw malformed(name, "has wire type " + WireFormat.getTagWireType(tag));
            }
            int count = ++counts[field.getIndex()];
            Repeated bound = field.isRepeated() ? boundOf(field) : new Repeated(1, 0, mostBytes);
            if (count > bound.most()) {
                throw malformed(name, "occurs more often than " + bound.most() + " times");
            }
            if (WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_LENGTH_DELIMITED) {
                int length = in.readRawVarint32();
                if (length < bound.shortest() || length > bound.longest()) {
                    throw malformed(name + "[" + (count - 1) + "]", "has " + length
                            + " bytes; " + bound.shortest() + " to " + bound.longest()
                            + " are allowed");
                }
                if (field.getType() == FieldDescriptor.Type.MESSAGE) {
                    int limit = in.pushLimit(length);
                    walk(in, field.getMessageType(),
                            field.isRepeated() ? name + "[" + (count - 1) + "]" : name);
                    in.popLimit(limit);
                } else {
                    in.skipRawBytes(length);
                }
            } else {
                in.skipField(tag);
            }
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
