package castalia.kernels;

/** Which repeated work a device may start as a whole, as recorded, rather than call by call. */
public enum Repetition {
    /** None, or it makes no difference. */
    OFF,
    /** What is so small that starting it takes longer than doing it. */
    AUTO,
    /** All. */
    ON
}
