package castalia.deploy.shell;

import java.nio.file.Path;

/**
 * The folder {@code .castalia} where the program keeps what it needs between commands: unpacked
 * natives, temporary files, details of unexpected errors. Nothing of a run lies here.
 *
 * @param folder absolute
 */
public record CastaliaHome(Path folder) {
    public CastaliaHome {
        if (!folder.isAbsolute()) {
            throw new IllegalArgumentException("not absolute: " + folder);
        }
    }

    /**
     * The folder the launcher names in the property castalia.home, else .castalia in the working
     * folder.
     */
    public static CastaliaHome ofProcess() {
        return new CastaliaHome(
                Path.of(System.getProperty("castalia.home", ".castalia")).toAbsolutePath());
    }

    /** Native libraries are unpacked here. */
    public Path natives() {
        return folder.resolve("natives");
    }

    /** Short-lived files. */
    public Path temporary() {
        return folder.resolve("tmp");
    }

    /** Sample orders and hashes of data whose own folder cannot be written. */
    public Path dataCache() {
        return folder.resolve("data");
    }

    /** One file for each unexpected error. */
    public Path errors() {
        return folder.resolve("errors");
    }
}
