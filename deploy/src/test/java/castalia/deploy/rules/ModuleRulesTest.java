package castalia.deploy.rules;

import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;

import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

import java.util.List;

class ModuleRulesTest {
    private static final JavaClasses PRODUCT =
            new ClassFileImporter()
                    .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                    .importPackages("castalia");

    @TestFactory
    List<DynamicTest> theProductKeepsEveryRule() {
        return ImportRules.all().entrySet().stream()
                .map(
                        rule ->
                                DynamicTest.dynamicTest(
                                        rule.getKey(), () -> rule.getValue().check(PRODUCT)))
                .toList();
    }

    @TestFactory
    List<DynamicTest> everyRuleFindsItsPlantedOffender() {
        JavaClasses planted =
                new ClassFileImporter()
                        .importPackages(
                                ImportRules.MAY_USE.keySet().stream()
                                        .map(module -> "castalia." + module + ".planted")
                                        .toList());
        return ImportRules.all().entrySet().stream()
                .filter(rule -> !rule.getKey().startsWith("deploy uses")) // it may use all of them
                .map(
                        rule ->
                                DynamicTest.dynamicTest(
                                        rule.getKey(),
                                        () ->
                                                assertThat(
                                                                rule.getValue()
                                                                        .evaluate(planted)
                                                                        .hasViolation())
                                                        .isTrue()))
                .toList();
    }

    @Test
    void classesOfEveryModuleAreLookedAt() {
        assertThat(PRODUCT.stream().map(type -> type.getPackageName().split("\\.", -1)[1]))
                .containsAll(ImportRules.MAY_USE.keySet());
    }

    @Test
    void packagesHaveNoCircles() {
        slices().matching("castalia.(**)").should().beFreeOfCycles().check(PRODUCT);
    }
}
