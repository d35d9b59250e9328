package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class VersionTest {

    @Test
    void theNumericVersionIsTheLastLine() {
        assertThat(new CastaliaCommand.Version(() -> "cpu; made up").getVersion())
                .hasSize(3).endsWith("numeric version cpu; made up");
    }

    @Test
    void aDeviceThatDoesNotOpenIsOneLineWithItsReason() {
        String[] lines = new CastaliaCommand.Version(() -> {
            throw new IllegalStateException("no memory\n  is left");
        }).getVersion();
        assertThat(lines).hasSize(3);
        assertThat(lines[0]).startsWith("castalia ");
        assertThat(lines[2]).isEqualTo("numeric version unknown, because the CPU device does not"
                + " open: no memory is left; ./castalia doctor looks at this machine");
    }

    @Test
    void soIsALibraryThatDoesNotLoad() {
        assertThat(new CastaliaCommand.Version(() -> {
            throw new NoClassDefFoundError("jdk/incubator/vector/Vector");
        }).getVersion()[2]).contains("unknown", "jdk/incubator/vector/Vector");
    }
}
