package castalia.workers.data.dedup;

import castalia.workers.data.text.TextInputs;
import java.util.Arrays;

/** Numbers of documents to files and back. */
final class Locations {
    private final TextInputs inputs;
    private final long[] starts;

    /** @param starts the first document of each part, and the number of all */
    Locations(TextInputs inputs, long[] starts) {
        this.inputs = inputs;
        this.starts = starts;
    }

    private int part(long document) {
        int found = Arrays.binarySearch(starts, document);
        int part = found >= 0 ? found : -found - 2;
        while (starts[part + 1] <= document) {
            part++; // Empty parts begin where the next one does.
        }
        return part;
    }

    String file(long document) {
        return inputs.parts().get(part(document)).name();
    }

    /** 1-based among the documents of its file, blank JSON lines and empty ones not counted. */
    long number(long document) {
        return document - starts[part(document)] + 1;
    }
}
