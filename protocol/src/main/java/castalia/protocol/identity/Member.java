package castalia.protocol.identity;

/**
 * A worker process, as others know it.
 *
 * @param incarnation its life
 * @param name what people call it, such as {@code w3}; unique on its node
 * @param node name of its node
 * @param pid its process id on that node
 * @param endpoint where its data plane listens
 */
public record Member(
        Incarnation incarnation, String name, String node, long pid, Endpoint endpoint) {

    private static final int LONGEST = 128;

    public Member {
        if (name.isBlank() || name.length() > LONGEST || node.isBlank()
                || node.length() > LONGEST) {
            throw new IllegalArgumentException("worker '" + name + "' of node '" + node + "'");
        }
    }

    /** Name and node, for people. */
    public String label() {
        return name + "@" + node;
    }
}
