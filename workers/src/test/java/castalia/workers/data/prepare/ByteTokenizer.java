package castalia.workers.data.prepare;

import castalia.workers.data.Tokenizer;
import java.nio.charset.StandardCharsets;

/** Ids are UTF-8 bytes plus one; 0 ends a document. */
class ByteTokenizer implements Tokenizer {
    @Override
    public int[] encode(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        int[] ids = new int[utf8.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (utf8[i] & 0xff) + 1;
        }
        return ids;
    }

    @Override
    public String decode(int[] ids) {
        byte[] utf8 = new byte[ids.length];
        int length = 0;
        for (int id : ids) {
            if (id > 0) {
                utf8[length++] = (byte) (id - 1);
            }
        }
        return new String(utf8, 0, length, StandardCharsets.UTF_8);
    }

    @Override
    public int vocabularySize() {
        return 257;
    }

    @Override
    public int endOfDocument() {
        return 0;
    }

    @Override
    public String fingerprint() {
        return "bytes";
    }

    @Override
    public void close() {}
}
