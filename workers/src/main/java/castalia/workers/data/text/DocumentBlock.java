package castalia.workers.data.text;

import castalia.workers.data.DataException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Documents that follow one another, handed from thread to thread together.
 *
 * @param first how many documents the reader gave before
 * @param bytes of all documents
 * @param position bytes of the inputs as stored that were read up to the block's end
 */
public record DocumentBlock(
        long first, List<RawDocument> documents, long bytes, long position) {
    private static final int BYTES = 1 << 18;

    public DocumentBlock {
        documents = List.copyOf(documents);
    }

    /**
     * Reads the next block, null at the end. A document that cannot be read is met again by the
     * next call if others come before it, so that these are not lost.
     */
    static @Nullable DocumentBlock next(DocumentReader reader) {
        List<RawDocument> documents = new ArrayList<>();
        long first = reader.count();
        long bytes = 0;
        while (bytes < BYTES) {
            RawDocument document;
            try {
                document = reader.next();
            } catch (DataException e) {
                if (documents.isEmpty()) {
                    throw e;
                }
                break;
            }
            if (document == null) {
                break;
            }
            documents.add(document);
            bytes += document.content().length;
        }
        return documents.isEmpty()
                ? null
                : new DocumentBlock(first, documents, bytes, reader.position());
    }
}
