package castalia.deploy.bench.collective;

/** What kind of socket. */
public enum Way {
    /** Unix domain sockets. */
    UNIX("unix"),
    /** TCP on the loopback interface. */
    TCP("tcp");

    private final String word;

    Way(String word) {
        this.word = word;
    }

    /** As it is printed. */
    public String word() {
        return word;
    }
}
