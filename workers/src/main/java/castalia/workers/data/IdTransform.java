package castalia.workers.data;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Replaces single token ids by others, all at once: what an id becomes is not looked up again.
 * Allocates nothing per row.
 */
public final class IdTransform implements TokenTransform {
    private final long fromStep;
    private final long toStep;
    private final int[] becomes;
    private final TreeMap<Integer, Integer> map;

    /**
     * Of some steps.
     *
     * @param map old id to new id
     * @throws DataException if an id is not in the vocabulary
     */
    public IdTransform(
            long fromStep, long toStep, Map<Integer, Integer> map, int vocabularySize) {
        TokenTransform.checkRange(fromStep, toStep);
        this.fromStep = fromStep;
        this.toStep = toStep;
        this.map = new TreeMap<>(map);
        this.becomes = new int[vocabularySize];
        for (int id = 0; id < vocabularySize; id++) {
            becomes[id] = id;
        }
        this.map.forEach((from, to) -> {
            for (int id : new int[] {from, to}) {
                if (id < 0 || id >= vocabularySize) {
                    throw new DataException("the transform replaces token " + from + " by " + to
                            + "; ids are below " + vocabularySize);
                }
            }
            becomes[from] = to;
        });
    }

    @Override
    public long fromStep() {
        return fromStep;
    }

    @Override
    public long toStep() {
        return toStep;
    }

    @Override
    public boolean apply(int[] row) {
        int changed = 0;
        for (int p = 0; p < row.length; p++) {
            int to = becomes[row[p]];
            changed |= to ^ row[p];
            row[p] = to;
        }
        return changed != 0;
    }

    @Override
    public Effect explain(int[] row) {
        int[] before = row.clone();
        apply(row);
        int replaced = 0;
        for (int p = 0; p < row.length; p++) {
            replaced += row[p] == before[p] ? 0 : 1;
        }
        return new Effect("tokens", replaced, 0, 0);
    }

    @Override
    public List<String> description() {
        return List.of("kind=tokens", "entries=" + map.size(), "map.sha256="
                + Sha256.ofText(map.toString()));
    }
}
