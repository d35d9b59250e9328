package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class SampleSearchTest {
    private static List<Integer> finds(SampleSearch search, int... row) {
        List<Integer> finds = new ArrayList<>();
        search.in(row, finds::add);
        return finds;
    }

    @Test
    void tokensAreFoundWhereverTheyBeginAndMayOverlap() {
        SampleSearch search = SampleSearch.tokens(1, 1, 2);
        assertThat(finds(search, 1, 1, 1, 2, 1, 1, 2)).containsExactly(1, 4);
        assertThat(finds(search, 1, 1)).isEmpty();
        assertThat(finds(SampleSearch.tokens(7), 7, 7)).containsExactly(0, 1);
        assertThatThrownBy(SampleSearch::tokens).isInstanceOf(DataException.class);
    }

    /** A text is found in whichever tokens it is cut into; checked against a plain search. */
    @Test
    void aTextIsFoundHoweverItIsCut() {
        Random random = new Random(9);
        byte[][] spellings = new byte[40][];
        for (int id = 1; id < 40; id++) {
            StringBuilder word = new StringBuilder();
            for (int i = random.nextInt(4); i >= 0; i--) {
                word.append((char) ('a' + random.nextInt(2)));
            }
            spellings[id] = word.toString().getBytes(StandardCharsets.UTF_8);
        }
        for (int round = 0; round < 500; round++) {
            int[] row = random.ints(1 + random.nextInt(30), -1, 42).toArray();
            StringBuilder text = new StringBuilder();
            List<Integer> tokenOf = new ArrayList<>();
            for (int i = 0; i < row.length; i++) {
                byte[] word = row[i] < 1 || row[i] >= 40 ? new byte[0] : spellings[row[i]];
                text.append(new String(word, StandardCharsets.UTF_8));
                for (int k = 0; k < word.length; k++) {
                    tokenOf.add(i);
                }
            }
            StringBuilder wanted = new StringBuilder();
            for (int i = random.nextInt(6); i >= 0; i--) {
                wanted.append((char) ('a' + random.nextInt(2)));
            }
            List<Integer> expected = new ArrayList<>();
            for (int at = text.indexOf(wanted.toString()); at >= 0;
                    at = text.indexOf(wanted.toString(), at + 1)) {
                expected.add(tokenOf.get(at));
            }
            assertThat(finds(SampleSearch.bytes(
                            wanted.toString().getBytes(StandardCharsets.UTF_8), spellings), row))
                    .isEqualTo(expected);
        }
        assertThatThrownBy(() -> SampleSearch.bytes(new byte[0], spellings))
                .isInstanceOf(DataException.class);
    }
}
