/** Bytes that another program, version or day must read: protobuf schemas and their codecs. */
@NullMarked
package castalia.protocol.wire;

import org.jspecify.annotations.NullMarked;
