package castalia.deploy.rules;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.lang.ArchRule;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * Which module and package may use what. Each rule has a name, and a planted offender in
 * PlantedOffenders.
 */
final class ImportRules {
    /** Module to the modules it may use, itself aside. */
    static final Map<String, Set<String>> MAY_USE =
            new TreeMap<>(
                    Map.of(
                            "protocol", Set.of(),
                            "kernels", Set.of(),
                            "checkpoints", Set.of("protocol"),
                            "workers", Set.of("protocol", "kernels", "checkpoints"),
                            "actors", Set.of("protocol"),
                            "deploy",
                                    Set.of(
                                            "protocol",
                                            "kernels",
                                            "checkpoints",
                                            "workers",
                                            "actors")));

    /** Kernels that may touch files: they unpack and load native libraries, or ask /proc/cpuinfo. */
    private static final Set<String> NATIVE_LOADERS =
            Set.of(
                    "castalia.kernels.cpu.NativeFiles",
                    "castalia.kernels.natives.NativeFile",
                    "castalia.kernels.natives.ProcessSpace",
                    "castalia.kernels.cpu.OneDnn",
                    "castalia.kernels.cpu.CpuDevice");

    /** Removes the file of a Unix domain socket. */
    private static final String SOCKET_FILE = "castalia.workers.exchange.socket.SocketFile";

    private static final Pattern FILE_TYPES =
            Pattern.compile(
                    "java\\.nio\\.file\\..*|java\\.nio\\.channels\\.FileChannel"
                            + "|java\\.io\\.(RandomAccessFile|File)"
                            + "|java\\.io\\.File(InputStream|OutputStream|Reader|Writer)");

    private static final DescribedPredicate<JavaClass> FILES =
            describe("files", type -> FILE_TYPES.matcher(type.getName()).matches());

    private ImportRules() {}

    static Map<String, ArchRule> all() {
        Map<String, ArchRule> rules = new TreeMap<>();
        MAY_USE.forEach(
                (module, others) ->
                        rules.put(module + " uses only modules below it", module(module, others)));
        rules.put(
                "protocol is pure",
                noClasses()
                        .that()
                        .resideInAPackage("castalia.protocol..")
                        .should()
                        .dependOnClassesThat(FILES)
                        .orShould()
                        .dependOnClassesThat(impure()));
        rules.put(
                "protocol asks nobody for time, chance or environment",
                noClasses()
                        .that()
                        .resideInAPackage("castalia.protocol..")
                        .should()
                        .accessTargetWhere(impureCall()));
        rules.put(
                "only actors and deploy know Akka",
                onlyIn("akka..", "castalia.actors..", "castalia.deploy.."));
        rules.put("only kernels know JCuda", onlyIn("jcuda..", "castalia.kernels.."));
        rules.put(
                "only kernels know the Vector API",
                onlyIn("jdk.incubator.vector..", "castalia.kernels.."));
        rules.put("only deploy knows picocli", onlyIn("picocli..", "castalia.deploy.."));
        rules.put(
                "files are in checkpoints, workers.data and deploy",
                noClasses()
                        .that()
                        .resideOutsideOfPackages(
                                "castalia.checkpoints..",
                                "castalia.workers.data..",
                                "castalia.deploy..")
                        .and(
                                describe(
                                        "are no native loader and no socket",
                                        type ->
                                                !NATIVE_LOADERS.contains(outermost(type))
                                                        && !outermost(type).equals(SOCKET_FILE)))
                        .should()
                        .dependOnClassesThat(FILES));
        rules.put(
                "only Main ends the process, and the watch over an orphan",
                noClasses()
                        .that()
                        .doNotHaveFullyQualifiedName("castalia.deploy.Main")
                        .and()
                        .doNotHaveFullyQualifiedName("castalia.deploy.cluster.OrphanWatch")
                        .should()
                        .accessTargetWhere(call(System.class, "exit"))
                        .orShould()
                        .accessTargetWhere(call(Runtime.class, "exit", "halt")));
        rules.put(
                "nobody polls by sleeping",
                noClasses()
                        .that()
                        .resideOutsideOfPackages("castalia.deploy..")
                        .should()
                        .accessTargetWhere(call(Thread.class, "sleep")));
        rules.replaceAll((name, rule) -> rule.as(name).allowEmptyShould(true));
        return rules;
    }

    private static ArchRule module(String module, Set<String> others) {
        List<String> forbidden = new ArrayList<>();
        for (String other : MAY_USE.keySet()) {
            if (!other.equals(module) && !others.contains(other)) {
                forbidden.add("castalia." + other + "..");
            }
        }
        if (forbidden.isEmpty()) {
            forbidden.add(
                    "castalia"); // deploy may use all; nothing is to be found directly below the
            // top
        }
        return noClasses()
                .that()
                .resideInAPackage("castalia." + module + "..")
                .should()
                .dependOnClassesThat(resideInAnyPackage(forbidden.toArray(String[]::new)));
    }

    private static ArchRule onlyIn(String library, String... packages) {
        return noClasses()
                .that()
                .resideOutsideOfPackages(packages)
                .should()
                .dependOnClassesThat(resideInAnyPackage(library));
    }

    private static DescribedPredicate<JavaClass> impure() {
        Set<String> types =
                Set.of(
                        "java.lang.Thread",
                        "java.util.Random",
                        "java.util.concurrent.ThreadLocalRandom",
                        "java.security.SecureRandom",
                        "java.time.Clock",
                        "java.util.Timer");
        return describe(
                "threads, clocks, randomness or logging",
                type ->
                        types.contains(type.getName())
                                || type.getPackageName().startsWith("org.slf4j")
                                || type.getPackageName().startsWith("java.util.logging")
                                || type.getName()
                                        .matches("java\\.util\\.concurrent\\..*Executor.*"));
    }

    private static DescribedPredicate<JavaAccess<?>> impureCall() {
        return call(System.class, "nanoTime", "currentTimeMillis", "getProperty", "getenv")
                .or(call(Math.class, "random"))
                .or(call(UUID.class, "randomUUID"))
                .or(
                        describe(
                                "now() of java.time",
                                access ->
                                        access.getTargetOwner().getPackageName().equals("java.time")
                                                && access.getTarget().getName().equals("now")));
    }

    private static DescribedPredicate<JavaAccess<?>> call(Class<?> owner, String... names) {
        Set<String> wanted = Set.of(names);
        return describe(
                owner.getSimpleName() + "." + String.join("/", names),
                access ->
                        access.getTargetOwner().isEquivalentTo(owner)
                                && wanted.contains(access.getTarget().getName()));
    }

    private static String outermost(JavaClass type) {
        int inner = type.getName().indexOf('$');
        return inner < 0 ? type.getName() : type.getName().substring(0, inner);
    }
}
