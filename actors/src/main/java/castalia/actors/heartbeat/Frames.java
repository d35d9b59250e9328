package castalia.actors.heartbeat;

import castalia.protocol.wire.HeartbeatCodec;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;

/** Heartbeats on a connection: one byte of length, then the message. */
final class Frames {

    private Frames() {}

    static void write(Socket to, byte[] message) throws IOException {
        byte[] frame = new byte[1 + message.length];
        frame[0] = (byte) message.length;
        System.arraycopy(message, 0, frame, 1, message.length);
        OutputStream out = to.getOutputStream();
        out.write(frame);
        out.flush();
    }

    /**
     * Reads one message.
     *
     * @throws EOFException if the connection ended before it
     * @throws IOException if it is too long or cut off
     */
    static byte[] read(Socket from) throws IOException {
        InputStream in = from.getInputStream();
        int length = in.read();
        if (length < 0) {
            throw new EOFException("the connection ended");
        }
        if (length > HeartbeatCodec.MOST_BYTES) {
            throw new IOException("a heartbeat of " + length + " bytes");
        }
        byte[] message = in.readNBytes(length);
        if (message.length < length) {
            throw new IOException("a heartbeat is cut off");
        }
        return message;
    }
}
