package castalia.deploy.train;

import castalia.checkpoints.RunFolder;
import castalia.deploy.shell.Storage;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.model.ProductAnswers;
import java.util.Optional;

/** The known answers of who began a run, and whether others give the same. */
public final class RunAnswers {

    private RunAnswers() {}

    /**
     * Compares the known answers of this process with those of the process that began the run, or
     * records them if this one does.
     *
     * @throws CastaliaException if a product differs, naming its shape
     */
    public static void require(RunFolder folder, ProductAnswers answers) {
        String recorded = Storage.attempt(() -> folder.answers(answers.text()));
        Optional<String> difference;
        try {
            difference = answers.difference(ProductAnswers.parse(recorded));
        } catch (IllegalArgumentException e) {
            throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT,
                    folder.path().resolve("answers") + ": " + e.getMessage(), e);
        }
        if (difference.isPresent()) {
            throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED, "the product "
                    + difference.get() + " has other bits here than on the machine that began the"
                    + " run in " + folder.path() + "; go on on a machine like that one, or train"
                    + " in a new run folder");
        }
    }
}
