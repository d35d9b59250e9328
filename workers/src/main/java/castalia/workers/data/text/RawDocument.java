package castalia.workers.data.text;

/**
 * A document as it was read.
 *
 * @param part index of its part
 * @param place 1-based line of a file of JSON lines; else the byte of the (uncompressed) file at
 *     which it starts
 * @param content the bytes of the text or, without its end, of the JSON line; not to be changed
 */
public record RawDocument(int part, long place, byte[] content) {}
