package castalia.deploy.fetch;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * A file of a repository as the hub lists it.
 *
 * @param path relative, with slashes; checked by {@link SafePaths}
 * @param bytes its size
 * @param hash of its content: SHA-256 of a large file, else the SHA-1 of git's blob; lower case
 */
record HubFile(String path, long bytes, String hash) {
    private static final int SHA256_DIGITS = 64;
    private static final int BUFFER_BYTES = 1 << 18;

    /** Whether the content of a file on this machine is the one that is listed. */
    boolean is(Path file) throws IOException {
        return Files.size(file) == bytes && hashOf(file).equals(hash);
    }

    /** The hash of a file on this machine, of the kind that is listed. */
    String hashOf(Path file) throws IOException {
        try {
            MessageDigest digest;
            if (hash.length() == SHA256_DIGITS) {
                digest = MessageDigest.getInstance("SHA-256");
            } else {
                digest = MessageDigest.getInstance("SHA-1");
                digest.update(("blob " + Files.size(file) + "\0")
                        .getBytes(StandardCharsets.US_ASCII));
            }
            byte[] buffer = new byte[BUFFER_BYTES];
            try (InputStream in = Files.newInputStream(file)) {
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    digest.update(buffer, 0, n);
                }
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-1 and SHA-256", e);
        }
    }
}
