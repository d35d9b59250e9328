package castalia.actors.message;

import java.util.List;

/**
 * One process as it sees itself and the cluster. Passes between processes of equal builds only and
 * is never kept.
 *
 * @param node name of the process
 * @param address where its actors are reached, host:port
 * @param pid its process id
 * @param roles its roles in the cluster
 * @param members the cluster's members as it sees them
 * @param actors its actors, parents before children
 * @param traffic what its actors sent and received, by kind of message
 * @param deadLetters messages that reached nobody
 */
public record NodeSnapshot(
        String node,
        String address,
        long pid,
        List<String> roles,
        List<MemberView> members,
        List<ActorView> actors,
        List<TrafficView> traffic,
        long deadLetters) {

    /** Most elements of each list. */
    public static final int MOST = 256;

    /** Most characters of each text; longer is cut. */
    public static final int LONGEST = 400;

    public NodeSnapshot {
        node = cut(node);
        address = cut(address);
        roles = first(roles).stream().map(NodeSnapshot::cut).toList();
        members = first(members);
        actors = first(actors);
        traffic = first(traffic);
    }

    /**
     * A member of the cluster.
     *
     * @param address host:port
     * @param status as Akka names it
     * @param reachable whether the process that reports reaches it
     */
    public record MemberView(String address, String status, boolean reachable, String roles) {
        public MemberView {
            address = cut(address);
            status = cut(status);
            roles = cut(roles);
        }
    }

    /**
     * An actor.
     *
     * @param path where it is in its process's tree
     * @param running whether it has not stopped
     * @param restarts how often its supervisor started it again
     * @param processed messages it worked on
     * @param failure its last failure, empty for none
     */
    public record ActorView(
            String path, boolean running, long restarts, long processed, String failure) {
        public ActorView {
            path = cut(path);
            failure = cut(failure);
        }
    }

    /**
     * Bytes of one kind of message, as serialized for the cluster's transport.
     *
     * @param largest bytes of the largest
     */
    public record TrafficView(
            String kind, long sent, long sentBytes, long received, long receivedBytes,
            long largest, long refused) {
        public TrafficView {
            kind = cut(kind);
        }
    }

    private static String cut(String text) {
        return text.length() <= LONGEST ? text : text.substring(0, LONGEST);
    }

    private static <T> List<T> first(List<T> list) {
        return List.copyOf(list.size() <= MOST ? list : list.subList(0, MOST));
    }
}
