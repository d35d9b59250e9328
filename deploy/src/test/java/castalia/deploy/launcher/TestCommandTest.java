package castalia.deploy.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.launcher.Workplace.Result;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Path;

@Timeout(120)
class TestCommandTest {
    @TempDir Path temporary;

    private Workplace workplace;

    @BeforeEach
    void makeWorkplace() throws IOException {
        workplace = new Workplace(temporary);
        workplace.jdk("jdk", "25");
        workplace.write("reports/protocol.xml", report(3, 0, 0, 0, ""));
        workplace.write("reports/kernels.xml", report(2, 0, 0, 0, ""));
    }

    private static String report(int tests, int failures, int errors, int skipped, String cases) {
        return """
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuite xmlns:xsi="x" version="3.0.2" name="castalia.ATest" tests="%d" errors="%d" \
        skipped="%d" failures="%d">
        %s
        </testsuite>
        """
                .formatted(tests, errors, skipped, failures, cases);
    }

    /**
     * A Maven that puts the prepared reports in place, prints {@code log} and ends with {@code
     * code}.
     */
    private void testingMaven(int code, String... log) throws IOException {
        String[] body = new String[log.length + 3];
        body[0] =
                "for m in protocol kernels; do echo \"[INFO] Building Castalia $m 0.1.0   [2/7]\";"
                        + " mkdir -p $m/target/surefire-reports; cp reports/$m.xml"
                        + " $m/target/surefire-reports/TEST-A.xml; done";
        body[1] = "mkdir -p deploy/target/lib; echo jar > deploy/target/lib/deploy-0.1.0.jar";
        for (int i = 0; i < log.length; i++) {
            body[i + 2] = "echo '" + log[i] + "'";
        }
        body[log.length + 2] = "exit " + code;
        workplace.maven("3.9.9", body);
    }

    @Test
    void theTestsOfAllModulesAreSummedInTheLastLine() throws Exception {
        testingMaven(0);

        Result result = workplace.run("test");

        assertThat(result.code()).as(result.out() + result.err()).isZero();
        assertThat(result.outLines().getLast()).isEqualTo("5 passed, 0 failed, 0 skipped");
        assertThat(result.out()).contains("protocol     3 passed, 0 failed, 0 skipped, ");
        assertThat(workplace.mavenRuns().getFirst())
                .contains("-Dcastalia.test.excludedGroups=default|full", "--fail-at-end", "verify");
        assertThat(workplace.run("doctor").err()).as("test leaves a staged build").isEmpty();
    }

    @Test
    void eachTierLeavesOutItsOwnTags() throws Exception {
        testingMaven(0);
        workplace.run("test", "--tier", "default");
        workplace.run("test", "--tier=full");

        assertThat(workplace.mavenRuns().get(0)).contains("-Dcastalia.test.excludedGroups=full ");
        assertThat(workplace.mavenRuns().get(1)).contains("-Dcastalia.test.excludedGroups= ");
    }

    @Test
    void failuresAreNamedAndGiveExitCode1() throws Exception {
        workplace.write(
                "reports/kernels.xml",
                report(
                        3,
                        1,
                        1,
                        0,
                        """
                        <testcase name="aSumIsRight" classname="castalia.ATest" time="0.1">
                          <failure message="&#10;expected: &lt;1&gt; &amp; &quot;2&quot;&#10;  but"><![CDATA[
                        <testsuite tests="99" errors="99" skipped="99" failures="99">
                        at X]]></failure>
                        </testcase>
                        <testcase name="other" classname="castalia.ATest" time="0.1">
                          <error type="java.lang.IllegalStateException"><![CDATA[x]]></error>
                        </testcase>\
                        """));
        testingMaven(0);

        Result result = workplace.run("test");

        assertThat(result.code()).isEqualTo(1);
        assertThat(result.out())
                .contains("FAILED castalia.ATest.aSumIsRight: expected: <1> & \"2\" but\n")
                .contains("FAILED castalia.ATest.other: java.lang.IllegalStateException\n");
        assertThat(result.outLines().getLast()).isEqualTo("4 passed, 2 failed, 0 skipped");
    }

    @Test
    void aTestThatWasNotRunIsRepeatedAndStrictRefusesIt() throws Exception {
        workplace.write(
                "reports/protocol.xml",
                report(
                        3,
                        0,
                        0,
                        2,
                        """
                        <testcase name="a" classname="castalia.ATest" time="0.1">
                          <skipped type="A"><![CDATA[org.opentest4j.A: not run: parity, because it's <gone>
                        at X]]></skipped>
                          <system-out><![CDATA[not run: parity, because it's <gone>
                        ]]></system-out>
                        </testcase>
                        <testcase name="b" classname="castalia.ATest" time="0.1">
                          <skipped message="on &quot;Mondays&quot;"/>
                        </testcase>\
                        """));
        testingMaven(0);

        Result loose = workplace.run("test");
        Result strict = workplace.run("test", "--strict");

        assertThat(loose.code()).isZero();
        assertThat(loose.out()).containsOnlyOnce("not run: parity, because it's <gone>\n");
        assertThat(loose.out()).contains("not run: castalia.ATest.b, because on \"Mondays\"\n");
        assertThat(loose.outLines().getLast()).isEqualTo("3 passed, 0 failed, 2 skipped");
        assertThat(strict.code()).isEqualTo(1);
        assertThat(strict.outLines().getLast()).isEqualTo("3 passed, 0 failed, 2 skipped");
    }

    @Test
    void withStrictATestOfDataOutsideTheProjectMayBeSkipped() throws Exception {
        workplace.write(
                "reports/protocol.xml",
                report(
                        2,
                        0,
                        0,
                        1,
                        """
                        <testcase name="b" classname="castalia.ATest" time="0.1">
                          <skipped message="../shared/data is absent"/>
                        </testcase>\
                        """));
        testingMaven(0);

        Result strict = workplace.run("test", "--strict");

        assertThat(strict.code()).as(strict.out()).isZero();
        assertThat(strict.out()).contains("because ../shared/data is absent");
        assertThat(strict.outLines().getLast()).isEqualTo("3 passed, 0 failed, 1 skipped");
    }

    @Test
    void aModuleThatDoesNotCompileCountsAsAFailure() throws Exception {
        testingMaven(
                1,
                "[ERROR] /x/B.java:[1,1] cannot find symbol",
                "[INFO] Castalia protocol .................................. SUCCESS [  6.2 s]",
                "[INFO] Castalia workers ................................... FAILURE [  1.2 s]",
                "[INFO] Castalia deploy .................................... SKIPPED");

        Result result = workplace.run("test");

        assertThat(result.code()).isEqualTo(4);
        assertThat(result.out())
                .contains("BROKEN workers", "BROKEN deploy", "cannot find symbol", "test.log");
        assertThat(result.outLines().getLast()).isEqualTo("5 passed, 2 failed, 0 skipped");
    }

    @Test
    void aTestJvmThatDiedCountsAsAFailureThoughMavenIsContent() throws Exception {
        testingMaven(
                0,
                "[ERROR] The forked VM terminated without properly saying goodbye. VM crash or"
                        + " System.exit?");

        Result result = workplace.run("test");

        assertThat(result.code()).isEqualTo(4);
        assertThat(result.out()).contains("BROKEN kernels");
        assertThat(result.outLines().getLast()).isEqualTo("5 passed, 1 failed, 0 skipped");
    }

    @Test
    void aBuildThatEndsBeforeAnyTestIsNoSuccess() throws Exception {
        workplace.maven("3.9.9", "echo '[ERROR] Non-parseable POM'", "exit 1");

        Result result = workplace.run("test");

        assertThat(result.code()).isEqualTo(4);
        assertThat(result.out()).contains("the build ended before any test", "Non-parseable POM");
        assertThat(result.outLines().getLast()).isEqualTo("0 passed, 1 failed, 0 skipped");
    }

    @Test
    void reportsOfAnEarlierRunAreNotCounted() throws Exception {
        testingMaven(0);
        workplace.run("test");
        workplace.maven("3.9.9", "exit 0");

        Result result = workplace.run("test");

        assertThat(result.code()).isEqualTo(4);
        assertThat(result.out()).contains("no test ran at all");
        assertThat(result.outLines().getLast()).isEqualTo("0 passed, 1 failed, 0 skipped");
    }

    @Test
    void wrongUsageIsExplained() throws Exception {
        assertThat(workplace.run("test", "--tier", "slow").err()).contains("no tier 'slow'");
        assertThat(workplace.run("test", "--tier").code()).isEqualTo(2);
        assertThat(workplace.run("test", "--fast").err()).contains("does not know '--fast'");
        assertThat(workplace.run("help", "test").out()).contains("Usage: ./castalia test");
    }
}
