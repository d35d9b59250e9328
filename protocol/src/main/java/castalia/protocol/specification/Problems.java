package castalia.protocol.specification;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Collects what is wrong with an input, so that all of it is reported together. Not safe for use
 * by several threads.
 */
public final class Problems {

    /** More are counted, not kept: the input is no such thing. */
    private static final int MOST = 200;

    private final List<Problem> errors = new ArrayList<>();
    private final List<Problem> warnings = new ArrayList<>();
    private int further;

    /**
     * One finding.
     *
     * @param where file, line and key, or the path of a value; may be empty
     * @param message what is wrong and what to do
     */
    public record Problem(String where, String message) {
        @Override
        public String toString() {
            return where.isEmpty() ? message : where + ": " + message;
        }
    }

    /** Something that makes the input unusable. */
    public void error(String where, String message) {
        if (errors.size() < MOST) {
            errors.add(new Problem(where, message));
        } else {
            further++;
        }
    }

    /** Something the user should know; the input is usable. */
    public void warning(String where, String message) {
        warnings.add(new Problem(where, message));
    }

    /** Runs a check and records what it throws as an error at {@code where}. */
    public void check(String where, Runnable check) {
        try {
            check.run();
        } catch (ProblemsException e) {
            e.problems().forEach(p -> error(
                    p.where().isEmpty() ? where : p.where(), p.message()));
        } catch (IllegalArgumentException e) {
            error(where, String.valueOf(e.getMessage()));
        }
    }

    public boolean hasErrors() {
        return !errors.isEmpty();
    }

    /** Errors in the order they were found; of very many the first, and how many more. */
    public List<Problem> errors() {
        List<Problem> all = new ArrayList<>(errors);
        if (further > 0) {
            all.add(new Problem(errors.getLast().where(), "and " + further + " further problems"));
        }
        return List.copyOf(all);
    }

    /** Warnings in the order they were found. */
    public List<Problem> warnings() {
        return List.copyOf(warnings);
    }

    /**
     * Ends the collection.
     *
     * @throws ProblemsException with all errors, if there are any
     */
    public void throwIfErrors() {
        if (hasErrors()) {
            throw new ProblemsException(errors());
        }
    }

    static String lines(List<Problem> problems) {
        return problems.stream().map(Problem::toString).collect(Collectors.joining("\n"));
    }
}
