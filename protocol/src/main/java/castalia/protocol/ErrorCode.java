package castalia.protocol;

import java.util.Optional;
import java.util.stream.Stream;

/**
 * Why an operation failed, from a closed list. Each code has its own exit code, which the command
 * line documents in its help and never reuses; 0 to 9 belong to the launcher and the command line
 * itself.
 */
public enum ErrorCode {
    /** A configuration, option or specification cannot be used as it is. */
    CONFIG_INVALID(10, "a configuration or option cannot be used"),
    /** A data file, index or tokenizer is missing, truncated or corrupt. */
    DATA_CORRUPT(11, "a data file, index or tokenizer is missing or damaged"),
    /** A checkpoint lacks a file that its manifest names, or its manifest. */
    CHECKPOINT_INCOMPLETE(12, "a checkpoint lacks a part"),
    /** A file of a checkpoint differs from its recorded size or checksum. */
    CHECKPOINT_CORRUPT(13, "a checkpoint's bytes differ from their checksum"),
    /** A device, its driver or a native library does not work. */
    DEVICE_FAILED(14, "a device, driver or native library failed"),
    /** Host or device memory does not suffice. */
    OUT_OF_MEMORY(15, "too little memory"),
    /** Reading or writing storage failed: full, read-only or broken. */
    STORAGE_FAILED(16, "storage is full, read-only or broken"),
    /**
     * Values that must be finite or equal are not: a gradient is not finite, or two holders of a
     * chunk hold different bits.
     */
    NUMERIC_DIVERGED(17, "numbers that must be finite or equal are not"),
    /** Another process of the run does not answer. */
    PEER_LOST(18, "another process of the run is gone"),
    /** A valid request for something this build or machine does not do. */
    UNSUPPORTED(19, "not supported by this build or machine"),
    /** A hub cannot be reached, refuses, or does not serve what it lists. */
    HUB_FAILED(20, "a hub cannot be reached or does not serve what it lists");

    private final int exitCode;
    private final String meaning;

    ErrorCode(int exitCode, String meaning) {
        this.exitCode = exitCode;
        this.meaning = meaning;
    }

    /** The exit code of a process that ends for this reason. */
    public int exitCode() {
        return exitCode;
    }

    /** The code whose exit code this is, if any. */
    public static Optional<ErrorCode> ofExitCode(int exitCode) {
        return Stream.of(values()).filter(code -> code.exitCode == exitCode).findFirst();
    }

    /** The reason in a few words, for lists of exit codes. */
    public String meaning() {
        return meaning;
    }
}
