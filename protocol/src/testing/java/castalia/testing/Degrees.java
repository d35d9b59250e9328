package castalia.testing;

import java.util.List;

/** The layouts of which every one is shown to become every other: 6 x 4 x 4 of them. */
public final class Degrees {

    /** Data parallel degrees. */
    public static final List<Integer> DATA = List.of(1, 2, 3, 4, 6, 8);

    /** Tensor parallel degrees. */
    public static final List<Integer> TENSOR = List.of(1, 2, 4, 8);

    /** ZeRO stages. */
    public static final List<Integer> ZERO = List.of(0, 1, 2, 3);

    private Degrees() {}
}
