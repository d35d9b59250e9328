package castalia.checkpoints;

import java.nio.file.Path;

/** Another process holds the lock of a run's folder. */
public final class FolderInUseException extends CheckpointException {

    private static final long serialVersionUID = 1;

    private final String holder;

    FolderInUseException(Path folder, String holder, String who) {
        super(folder + " is in use by " + who + (holder.isEmpty() ? "" : " (" + holder + ")")
                + "; stop that process or choose another run folder");
        this.holder = holder;
    }

    /** The process that holds it in the words of {@link RunFolder#thisProcess}; empty if unknown. */
    public String holder() {
        return holder;
    }
}
