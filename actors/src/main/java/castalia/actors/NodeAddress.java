package castalia.actors;

/** Where a process of the cluster is reached. */
public record NodeAddress(String host, int port) {

    public NodeAddress {
        if (host.isBlank() || host.contains(":") || port < 0 || port > 65_535) {
            throw new IllegalArgumentException("no address: " + host + ":" + port);
        }
    }

    /**
     * Reads {@code host:port}.
     *
     * @throws IllegalArgumentException if it is anything else
     */
    public static NodeAddress parse(String text) {
        int colon = text.lastIndexOf(':');
        try {
            return new NodeAddress(
                    text.substring(0, Math.max(colon, 0)),
                    Integer.parseInt(text.substring(colon + 1)));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("'" + text + "' is not host:port", e);
        }
    }

    @Override
    public String toString() {
        return host + ":" + port;
    }
}
