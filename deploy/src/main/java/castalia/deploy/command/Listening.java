package castalia.deploy.command;

import castalia.actors.NodeAddress;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.net.UnknownHostException;

/** Where a node listens, and what a person must know of it. */
final class Listening {

    private Listening() {}

    /**
     * The address that options name.
     *
     * @throws CastaliaException if they name none
     */
    static NodeAddress address(String host, int port) {
        try {
            return new NodeAddress(host, port);
        } catch (IllegalArgumentException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--host " + host + " and --port "
                    + port + " are no address: a host without a colon, and 0 to 65535", e);
        }
    }

    /**
     * Whether an address is this machine only.
     *
     * @throws CastaliaException if the host is not known here
     */
    static boolean onLoopback(String host) {
        try {
            return InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException e) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "the host '" + host + "' is not known here", e);
        }
    }

    /** Says once what it means to listen where others can reach it. */
    static void warn(NodeAddress listen, PrintWriter err) {
        if (!onLoopback(listen.host())) {
            err.println("castalia: warning: tensors and heartbeats are not encrypted yet, and whoever"
                    + " reaches " + listen.host() + " can read them; use it in a network you trust");
            err.flush();
        }
    }
}
