package castalia.deploy.fetch;

import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * A repository of models or data sets at a revision, in Hugging Face's layout of addresses.
 *
 * @param base address of the hub, without a slash at the end
 * @param name OWNER/NAME, or NAME
 * @param revision branch, tag or commit
 */
public record HubRepository(URI base, Kind kind, String name, String revision) {
    /** The hub asked where no other is named. */
    public static final String PUBLIC_HUB = "https://huggingface.co";

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][\\w.-]{0,95}(/[\\w.-]{1,96})?");

    /** What a repository holds. */
    public enum Kind {
        MODELS("models", ""),
        DATASETS("datasets", "datasets/");

        private final String listing;
        private final String prefix;

        Kind(String listing, String prefix) {
            this.listing = listing;
            this.prefix = prefix;
        }
    }

    public HubRepository {
        if (!NAME.matcher(name).matches() || name.contains("..")) {
            throw new IllegalArgumentException(
                    "'" + name + "' is no repository; write OWNER/NAME");
        }
        if (revision.isBlank() || revision.length() > 200
                || revision.chars().anyMatch(c -> c <= ' ')) {
            throw new IllegalArgumentException("'" + revision + "' is no revision");
        }
    }

    /**
     * A repository.
     *
     * @throws IllegalArgumentException if something is not usable, with a line for the user
     */
    public static HubRepository of(String base, Kind kind, String name, String revision) {
        try {
            URI uri = new URI(base.replaceAll("/+$", ""));
            boolean web = "http".equals(uri.getScheme()) || "https".equals(uri.getScheme());
            if (!web || uri.getHost() == null || uri.getQuery() != null) {
                throw new IllegalArgumentException("the hub's address '" + base
                        + "' must look like " + PUBLIC_HUB);
            }
            return new HubRepository(uri, kind, name, revision);
        } catch (URISyntaxException e) {
            throw new IllegalArgumentException("the hub's address '" + base + "' is none", e);
        }
    }

    /** Where the files are listed, with sizes and hashes. */
    URI listing() {
        return URI.create(base + "/api/" + kind.listing + "/" + name + "/revision/"
                + encoded(revision) + "?blobs=true");
    }

    /** Where the content of a file is, at a commit. */
    URI content(String commit, String path) {
        return URI.create(base + "/" + kind.prefix + name + "/resolve/" + encoded(commit) + "/"
                + Arrays.stream(path.split("/"))
                        .map(HubRepository::encoded)
                        .collect(Collectors.joining("/")));
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
