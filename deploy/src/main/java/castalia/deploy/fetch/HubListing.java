package castalia.deploy.fetch;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * What a revision consists of.
 *
 * @param commit to which the revision points; files are asked for at it, so that they fit together
 */
record HubListing(String commit, List<HubFile> files) {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40,64}");
    private static final Pattern SHA1 = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

    HubListing {
        files = List.copyOf(files);
    }

    /**
     * Reads a hub's answer; keeps no more of it than a file at a time.
     *
     * @throws FetchException if it is not a listing with sizes and hashes, or names are refused
     */
    static HubListing parse(byte[] json) throws FetchException {
        String commit = "";
        List<HubFile> files = new ArrayList<>();
        try (JsonParser parser = MAPPER.createParser(json)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw noHub();
            }
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals("sha") && value == JsonToken.VALUE_STRING) {
                    commit = parser.getText();
                } else if (name.equals("siblings") && value == JsonToken.START_ARRAY) {
                    while (parser.nextToken() != JsonToken.END_ARRAY) {
                        files.add(file(parser.<JsonNode>readValueAsTree()));
                    }
                } else {
                    parser.skipChildren();
                }
            }
        } catch (JsonProcessingException e) {
            throw FetchException.passing("the listing is not JSON (" + e.getOriginalMessage() + ")");
        } catch (FetchException e) {
            throw e;
        } catch (IOException e) {
            throw FetchException.passing("the listing cannot be read (" + e.getMessage() + ")");
        }
        if (!COMMIT.matcher(commit).matches()) {
            throw noHub();
        }
        Set<String> names = new HashSet<>();
        for (HubFile file : files) {
            if (!names.add(file.path())) {
                throw FetchException.lasting("the hub lists " + file.path() + " twice");
            }
        }
        return new HubListing(commit, files);
    }

    private static FetchException noHub() {
        return FetchException.lasting("the listing names no commit; is this a hub?");
    }

    private static HubFile file(JsonNode one) throws FetchException {
        String path = one.path("rfilename").asText();
        SafePaths.require(path);
        JsonNode large = one.path("lfs");
        String hash = large.isObject() ? large.path("sha256").asText() : one.path("blobId").asText();
        JsonNode size = large.isObject() ? large.path("size") : one.path("size");
        boolean known = (large.isObject() ? SHA256 : SHA1).matcher(hash).matches();
        if (!known || !size.canConvertToLong() || size.longValue() < 0) {
            throw FetchException.lasting("the hub lists " + path + " without a size and a hash,"
                    + " so it cannot be verified");
        }
        return new HubFile(path, size.longValue(), hash);
    }
}
