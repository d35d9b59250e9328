package castalia.workers.exchange.socket;

/** Who reads connections of members. For any thread. */
interface Reader {

    /** Ends a connection soon: nothing is written to any destination of it afterwards. */
    void end(Reception reception);

    /** Lets connections that found no place for a frame try again. */
    void retry();
}
