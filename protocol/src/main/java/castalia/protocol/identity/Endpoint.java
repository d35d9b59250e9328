package castalia.protocol.identity;

import java.util.Optional;

/**
 * Where a worker's data plane listens.
 *
 * @param host address other nodes reach it at
 * @param port TCP port
 * @param socket path of its Unix domain socket, for workers of the same node
 */
public record Endpoint(String host, int port, Optional<String> socket) {

    private static final int LONGEST = 255;

    public Endpoint {
        if (host.isBlank() || host.length() > LONGEST || port < 1 || port > 65535) {
            throw new IllegalArgumentException("endpoint " + host + ":" + port);
        }
        if (socket.filter(path -> path.isEmpty() || path.length() > LONGEST).isPresent()) {
            throw new IllegalArgumentException("socket path of " + socket.get().length());
        }
    }

    @Override
    public String toString() {
        return host + ":" + port;
    }
}
