package castalia.protocol.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.step.VirtualRanks.Block;
import java.util.List;
import org.junit.jupiter.api.Test;

class VirtualRanksTest {

    @Test
    void blocksAreContiguousCoverAllAndDifferByOneAtMost() {
        for (int v = 1; v <= 70; v++) {
            for (int w = 1; w <= v; w++) {
                List<Block> blocks = VirtualRanks.blocks(v, w);
                assertThat(blocks).hasSize(w);
                int next = 0;
                for (Block block : blocks) {
                    assertThat(block.first()).isEqualTo(next);
                    assertThat(block.count()).isBetween(v / w, (v + w - 1) / w);
                    next = block.end();
                }
                assertThat(next).isEqualTo(v);
            }
        }
    }

    @Test
    void fourVirtualRanksOnThreeRanks() {
        assertThat(VirtualRanks.blocks(4, 3))
                .containsExactly(new Block(0, 1), new Block(1, 1), new Block(2, 2));
    }

    @Test
    void manyVirtualRanksDoNotOverflow() {
        List<Block> blocks = VirtualRanks.blocks(1 << 30, 1 << 10);
        assertThat(blocks).allMatch(block -> block.count() == 1 << 20);
    }

    @Test
    void anImpossibleNumberOfRanksIsRefused() {
        assertThatThrownBy(() -> VirtualRanks.blocks(2, 3))
                .hasMessage("cannot place 2 virtual ranks on 3 ranks: use 1 to 2");
        assertThatThrownBy(() -> new Block(-1, 1)).hasMessage("block of 1 from -1");
        assertThatThrownBy(() -> new Block(0, -1)).hasMessage("block of -1 from 0");
    }

    @Test
    void dealtInTurnEveryVirtualRankHasOnePlaceAndRoundsAscend() {
        for (int virtualRanks = 1; virtualRanks <= 13; virtualRanks++) {
            for (int ranks = 1; ranks <= virtualRanks; ranks++) {
                var blocks = VirtualRanks.inTurn(virtualRanks, ranks);
                assertThat(blocks).hasSize(ranks);
                for (int v = 0; v < virtualRanks; v++) {
                    Block block = blocks.get(v % ranks);
                    assertThat(block.count()).isGreaterThan(v / ranks);
                    assertThat(block.at(v / ranks)).isEqualTo(v);
                }
                assertThat(blocks.stream().mapToInt(Block::count).sum()).isEqualTo(virtualRanks);
                assertThat(blocks).allMatch(b -> b.end() == b.at(b.count() - 1) + 1);
            }
        }
    }

    @Test
    void whatIsDealtInTurnHasNoCover() {
        assertThatThrownBy(() -> ReductionTree.cover(4, new Block(0, 2, 2)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("not contiguous");
    }
}
