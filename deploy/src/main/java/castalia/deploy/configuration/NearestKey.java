package castalia.deploy.configuration;

import java.util.Collection;
import java.util.Optional;

/** Finds the key a user may have meant. */
final class NearestKey {

    private NearestKey() {}

    /** The known key with the fewest edits, if a third of the letters or fewer are wrong. */
    static Optional<String> of(String key, Collection<String> known) {
        Optional<String> best = Optional.empty();
        int fewest = Math.max(1, key.length() / 3) + 1;
        for (String candidate : known.stream().sorted().toList()) {
            int edits = edits(key, candidate);
            if (edits < fewest) {
                fewest = edits;
                best = Optional.of(candidate);
            }
        }
        return best;
    }

    /** Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
    static int edits(String a, String b) {
        int[][] d = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    d[i][j] = i + j;
                    continue;
                }
                int replaced = d[i - 1][j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                d[i][j] = Math.min(replaced, 1 + Math.min(d[i - 1][j], d[i][j - 1]));
                boolean swapped = i > 1
                        && j > 1
                        && a.charAt(i - 1) == b.charAt(j - 2)
                        && a.charAt(i - 2) == b.charAt(j - 1);
                if (swapped) {
                    d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
                }
            }
        }
        return d[a.length()][b.length()];
    }
}
