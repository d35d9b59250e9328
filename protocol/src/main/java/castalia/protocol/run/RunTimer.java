package castalia.protocol.run;

/** What a coordinator waits for with a deadline. */
public enum RunTimer {
    /** Enough workers to begin with. */
    FORMING,
    /** Answers to a query. */
    GATHERING,
    /** Members taking their places. */
    INSTALLING,
    /** Members reaching the boundary they were told to stop at. */
    PAUSING,
    /** A learner catching up. */
    LEARNING,
    /** The end of a run that was asked to stop. */
    STOPPING
}
