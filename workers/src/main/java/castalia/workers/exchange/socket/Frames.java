package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import java.nio.ByteBuffer;

/** What every reader of frames does. */
final class Frames {

    private Frames() {}

    /**
     * Refuses a payload that is not what its sender checksummed.
     *
     * @param crc CRC32C of what was read
     */
    static void requireIntact(FrameHeader.Data frame, int crc) throws RefusedException {
        if (crc != frame.payloadCrc()) {
            throw new RefusedException("damaged frame: checksum of " + frame.tag());
        }
    }

    /** The answer to a frame of an old generation, to be written. */
    static ByteBuffer stale(Core core, Fence newest) {
        ByteBuffer answer = ByteBuffer.allocateDirect(FrameHeader.BYTES);
        new FrameHeader.Stale(core.settings().incarnation(), newest).encode(answer);
        return answer.flip();
    }
}
