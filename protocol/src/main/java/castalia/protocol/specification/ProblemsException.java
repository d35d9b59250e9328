package castalia.protocol.specification;

import castalia.protocol.specification.Problems.Problem;
import java.util.List;

/** An input is unusable; the message has one line per problem. */
public final class ProblemsException extends IllegalArgumentException {

    private static final long serialVersionUID = 1L;

    private final transient List<Problem> problems;

    ProblemsException(List<Problem> problems) {
        super(Problems.lines(problems));
        this.problems = List.copyOf(problems);
    }

    /** The errors in the order they were found. */
    public List<Problem> problems() {
        return problems;
    }
}
