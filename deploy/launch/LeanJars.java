import java.io.BufferedOutputStream;
import java.io.IOException;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.attribute.RuntimeVisibleAnnotationsAttribute;
import java.lang.classfile.attribute.UnknownAttribute;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Copies a folder of jars to a smaller one for {@code ./castalia package}: without compression, since
 * what packs the whole does that better; without other machines' natives, symbols of natives, names of
 * local variables, what Scala's compiler alone reads, and files that nothing of ours looks at. Run as
 * {@code java LeanJars.java FROM TO [STRIP]}, where STRIP is the tool that removes symbols.
 */
final class LeanJars {

    /** Entries to be left out, by the start of a jar's name. */
    private record Left(String jar, Pattern entries) {
        Left(String jar, String entries) {
            this(jar, Pattern.compile(entries));
        }
    }

    private static final List<Left> LEFT = List.of(
            new Left("dnnl-", ".*/include/.*|.*/share/.*|(?!.*/lib(dnnl\\.so\\.3|gomp\\.so\\.1)$).*\\.so.*"),
            new Left("jcuda-natives-", "lib/lib(?!JCudaDriver-).*"),
            // Of DJL one class with native methods is used, whose library is loaded by us.
            new Left("tokenizers-", "native/lib/(?!linux-x86_64/cpu/).*|nlp/.*"
                    + "|ai/djl/(?!huggingface/tokenizers/jni/).*"),
            new Left("api-", "ai/djl/.*"),
            new Left("zstd-jni-", "(?!linux/amd64/).*libzstd-jni.*"));

    private static final Pattern NATIVE = Pattern.compile(".*\\.so(\\.\\d+)*");

    private final ClassFile classes;
    private final List<String> strip;

    private LeanJars(URLClassLoader all, List<String> strip) {
        this.strip = strip;
        classes = ClassFile.of(ClassFile.DebugElementsOption.DROP_DEBUG,
                ClassFile.LineNumbersOption.PASS_LINE_NUMBERS,
                ClassFile.ConstantPoolSharingOption.NEW_POOL,
                ClassFile.ClassHierarchyResolverOption.of(ClassHierarchyResolver.ofResourceParsing(all)
                        .orElse(ClassHierarchyResolver.ofResourceParsing(ClassLoader.getPlatformClassLoader()))));
    }

    static void main(String[] args) throws IOException {
        Path from = Path.of(args[0]);
        Path to = Files.createDirectories(Path.of(args[1]));
        List<Path> jars;
        try (Stream<Path> files = Files.list(from)) {
            jars = files.filter(file -> file.toString().endsWith(".jar")).sorted().toList();
        }
        List<URL> urls = new ArrayList<>();
        for (Path jar : jars) {
            urls.add(jar.toUri().toURL());
        }
        try (URLClassLoader all = new URLClassLoader(urls.toArray(URL[]::new), null)) {
            LeanJars lean = new LeanJars(all, List.of(args).subList(2, args.length));
            for (Path jar : jars) {
                lean.copy(jar, to.resolve(jar.getFileName()));
            }
        }
    }

    private void copy(Path from, Path to) throws IOException {
        String name = from.getFileName().toString();
        try (ZipFile jar = new ZipFile(from.toFile());
                ZipOutputStream out = new ZipOutputStream(new BufferedOutputStream(Files.newOutputStream(to)))) {
            out.setLevel(0);
            for (ZipEntry entry : Collections.list(jar.entries())) {
                String path = entry.getName();
                boolean left = LEFT.stream().anyMatch(each ->
                        name.startsWith(each.jar()) && each.entries().matcher(path).matches());
                if (!left && !entry.isDirectory()) {
                    byte[] bytes = jar.getInputStream(entry).readAllBytes();
                    ZipEntry copy = new ZipEntry(path);
                    copy.setTime(0);
                    out.putNextEntry(copy);
                    out.write(lean(path, bytes));
                    out.closeEntry();
                }
            }
        }
    }

    private byte[] lean(String path, byte[] bytes) throws IOException {
        if (path.endsWith(".class") && !path.endsWith("module-info.class")) {
            try {
                return classes.transformClass(classes.parse(bytes), LeanJars::pass);
            } catch (IllegalArgumentException e) {
                return bytes; // it extends what is not there, and is not used
            }
        }
        return NATIVE.matcher(path).matches() && !strip.isEmpty() ? stripped(bytes) : bytes;
    }

    /** Everything but what Scala's compiler reads of a class it compiles against. */
    private static void pass(ClassBuilder to, ClassElement element) {
        switch (element) {
            case RuntimeVisibleAnnotationsAttribute all -> {
                var kept = all.annotations().stream()
                        .filter(one -> !one.className().stringValue().startsWith("Lscala/reflect/Scala"))
                        .toList();
                if (!kept.isEmpty()) {
                    to.with(RuntimeVisibleAnnotationsAttribute.of(kept));
                }
            }
            case UnknownAttribute other when other.attributeName().stringValue().startsWith("Scala") -> { }
            default -> to.with(element);
        }
    }

    private byte[] stripped(byte[] library) throws IOException {
        Path file = Files.createTempFile("castalia-", ".so");
        try {
            Files.write(file, library);
            List<String> command = new ArrayList<>(strip);
            command.add(file.toString());
            if (new ProcessBuilder(command).inheritIO().start().waitFor() != 0) {
                throw new IOException(command + " failed");
            }
            return Files.readAllBytes(file);
        } catch (InterruptedException e) {
            throw new IOException("interrupted", e);
        } finally {
            Files.delete(file);
        }
    }
}
