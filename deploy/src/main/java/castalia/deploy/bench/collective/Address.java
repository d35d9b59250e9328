package castalia.deploy.bench.collective;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.util.Optional;

/**
 * Where a rank listens, as one line between processes.
 *
 * @param incarnation its process's life
 * @param pid its process
 * @param port port of its data plane
 * @param socket Unix domain socket of its data plane
 * @param rawPort port of its plain loop
 * @param rawSocket Unix domain socket of its plain loop
 */
record Address(
        long incarnation, long pid, int port, String socket, int rawPort, String rawSocket) {

    private static final int FIELDS = 6;

    /** One word per field; paths have no blanks where this is used. */
    String line() {
        return Long.toHexString(incarnation) + " " + pid + " " + port + " " + socket + " " + rawPort
                + " " + rawSocket;
    }

    static Address parse(String line) {
        String[] words = line.split(" ", -1);
        if (words.length != FIELDS) {
            throw new IllegalArgumentException("no address: " + line);
        }
        return new Address(Long.parseUnsignedLong(words[0], 16), Long.parseLong(words[1]),
                Integer.parseInt(words[2]), words[3], Integer.parseInt(words[4]), words[5]);
    }

    /** The member of the data plane, reached by one kind of socket. */
    Member member(int rank, Way way) {
        return new Member(new Incarnation(incarnation), "r" + rank, "node", pid, new Endpoint(
                "127.0.0.1", port, way == Way.UNIX ? Optional.of(socket) : Optional.empty()));
    }
}
