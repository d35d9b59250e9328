package castalia.workers.data;

import java.util.List;

/**
 * What a run specification records of a token file.
 *
 * @param name the last part of the prefix
 * @param idxSha256 lower-case hex of the whole {@code .idx} file
 * @param binSha256 lower-case hex of the whole {@code .bin} file
 */
public record DataDigest(
        String name,
        long tokens,
        long sequences,
        TokenDtype dtype,
        String idxSha256,
        String binSha256) {
    /** One {@code name=value} per field, in a fixed order. */
    public List<String> lines() {
        return List.of(
                "data.name=" + name,
                "data.tokens=" + tokens,
                "data.sequences=" + sequences,
                "data.dtype=" + dtype,
                "data.idx.sha256=" + idxSha256,
                "data.bin.sha256=" + binSha256);
    }
}
