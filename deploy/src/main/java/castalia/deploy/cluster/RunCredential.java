package castalia.deploy.cluster;

import castalia.actors.tls.Credential;
import castalia.deploy.shell.Storage;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The credential of a run in its folder: key and certificate as PEM, in a file that only its owner
 * may read. Whoever can read it is of the run. The certificate names the folder, so that a node that
 * is told an address alone knows where to look.
 */
final class RunCredential {

    static final String FILE = "credential";

    /** Where the next one is made, for its owner alone. */
    private static final String NEW = ".credential-new";

    private static final String KEY = "PRIVATE KEY";
    private static final String CERTIFICATE = "CERTIFICATE";
    private static final String ALIAS = "run";

    /** keytool wants one for its file, which lives for a moment, where nobody else may look. */
    private static final String PASSWORD = "castalia";

    private static final String ALGORITHM = "EC";

    private static final long MAKING_SECONDS = 30;
    private static final int MOST_BYTES = 1 << 16;
    private static final int NAME_IS_URI = 6; // RFC 5280's tag of that kind of name

    private RunCredential() {}

    /**
     * The credential of a run that this process begins to lead, with the folder's lock; made, on a
     * thread of its own, where there is none or the folder was moved since.
     */
    static Making ofLeader(Path run) {
        Path folder = run.toAbsolutePath().normalize();
        return new Making(usable(folder).map(CompletableFuture::completedFuture).orElseGet(
                () -> CompletableFuture.supplyAsync(() -> make(folder), task -> Thread.ofPlatform()
                        .daemon().name("credential").start(task))));
    }

    /** A credential, or the making of it, which waits before the folder is left to others. */
    static final class Making implements Supplier<Credential>, AutoCloseable {

        private final CompletableFuture<Credential> made;

        private Making(CompletableFuture<Credential> made) {
            this.made = made;
        }

        /**
         * Waits for it.
         *
         * @throws CastaliaException if it cannot be made
         */
        @Override
        public Credential get() {
            try {
                return made.join();
            } catch (CompletionException e) {
                throw e.getCause() instanceof CastaliaException known ? known : e;
            }
        }

        @Override
        public void close() {
            var _ = made.handle((_, _) -> true).join();
        }
    }

    private static Optional<Credential> usable(Path folder) {
        try {
            return Optional.of(read(folder))
                    .filter(credential -> folder(credential.certificate()).equals(Optional.of(folder)));
        } catch (CastaliaException e) {
            return Optional.empty(); // none, or damaged
        }
    }

    /**
     * Reads the credential of a run that another process leads.
     *
     * @throws CastaliaException if there is none that can be read
     */
    static Credential read(Path run) {
        Path file = run.resolve(FILE);
        try (InputStream in = Files.newInputStream(file)) {
            String text = new String(in.readNBytes(MOST_BYTES), StandardCharsets.US_ASCII);
            return new Credential(
                    KeyFactory.getInstance(ALGORITHM)
                            .generatePrivate(new PKCS8EncodedKeySpec(part(text, KEY))),
                    (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(
                            new ByteArrayInputStream(part(text, CERTIFICATE))));
        } catch (NoSuchFileException e) {
            throw unusable(file, "there is none", e);
        } catch (AccessDeniedException e) {
            throw unusable(file, "only the user who began the run may read it", e);
        } catch (IOException | GeneralSecurityException | IllegalArgumentException e) {
            throw unusable(file, "it is damaged: " + e.getMessage(), e);
        }
    }

    private static byte[] part(String text, String name) throws IOException {
        String begin = "-----BEGIN " + name + "-----";
        int from = text.indexOf(begin);
        int to = text.indexOf("-----END " + name + "-----");
        if (from < 0 || to < from + begin.length()) {
            throw new IOException("no " + name);
        }
        return Base64.getMimeDecoder().decode(text.substring(from + begin.length(), to));
    }

    private static String part(String name, byte[] bytes) {
        return "-----BEGIN " + name + "-----\n" + Base64.getMimeEncoder(64, new byte[] {'\n'})
                .encodeToString(bytes) + "\n-----END " + name + "-----\n";
    }

    private static CastaliaException unusable(Path file, String why, Exception cause) {
        return new CastaliaException(ErrorCode.CONFIG_INVALID, "the run's credential " + file
                + " cannot be used: " + why + "; processes of a run share its folder", cause);
    }

    /** The run's folder that a certificate names, absolute. */
    static Optional<Path> folder(X509Certificate certificate) {
        try {
            Collection<List<?>> names = certificate.getSubjectAlternativeNames();
            return (names == null ? List.<List<?>>of() : names).stream()
                    .filter(name -> Integer.valueOf(NAME_IS_URI).equals(name.get(0)))
                    .map(name -> Path.of(URI.create(String.valueOf(name.get(1)))))
                    .findFirst();
        } catch (CertificateParsingException | IllegalArgumentException
                | FileSystemNotFoundException e) {
            return Optional.empty();
        }
    }

    private static Credential make(Path folder) {
        Storage.attempt(() -> {
            Path place = folder.resolve(NEW);
            Path store = place.resolve("store");
            Path file = place.resolve(FILE);
            for (Path left : List.of(store, file, place)) { // by a start that was cut off
                Files.deleteIfExists(left);
            }
            Files.createDirectory(place, PosixFilePermissions.asFileAttribute(
                    PosixFilePermissions.fromString("rwx------")));
            keytool(folder, store);
            Files.createFile(file, PosixFilePermissions.asFileAttribute(
                    PosixFilePermissions.fromString("rw-------")));
            Files.writeString(file, pem(store));
            Files.move(file, folder.resolve(FILE), StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
            Files.delete(store);
            Files.delete(place);
            return folder;
        });
        return read(folder);
    }

    private static String pem(Path store) throws IOException {
        try (InputStream in = Files.newInputStream(store)) {
            KeyStore keys = KeyStore.getInstance("PKCS12");
            keys.load(in, PASSWORD.toCharArray());
            return part(KEY, keys.getKey(ALIAS, PASSWORD.toCharArray()).getEncoded())
                    + part(CERTIFICATE, keys.getCertificate(ALIAS).getEncoded());
        } catch (GeneralSecurityException e) {
            throw new IOException("keytool made no key that can be used: " + e.getMessage(), e);
        }
    }

    /** Java has no other way to make a certificate that is not internal to it. */
    private static void keytool(Path folder, Path file) throws IOException {
        // A comma would begin another name.
        String uri = folder.toUri().toASCIIString().replaceAll("/$", "").replace(",", "%2C");
        Process process = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC",
                "-J-Dkeystore.pkcs12.keyPbeIterationCount=1",
                "-J-Dkeystore.pkcs12.certPbeIterationCount=1",
                "-J-Dkeystore.pkcs12.macIterationCount=1", "-genkeypair", "-alias", ALIAS,
                "-keyalg", ALGORITHM, "-groupname", "secp256r1", "-sigalg", "SHA256withECDSA",
                "-dname", "CN=castalia", "-ext", "SAN=uri:" + uri, "-validity", "36500",
                "-storetype", "PKCS12", "-storepass", PASSWORD, "-keystore", file.toString())
                .redirectErrorStream(true).start();
        try {
            process.getOutputStream().close();
            boolean ended = process.waitFor(MAKING_SECONDS, TimeUnit.SECONDS);
            if (!ended || process.exitValue() != 0) {
                String said = ended ? new String(process.getInputStream().readNBytes(MOST_BYTES),
                        StandardCharsets.UTF_8).strip().replaceAll("\\s+", " ")
                        : "it did not end within " + MAKING_SECONDS + " s";
                throw new CastaliaException(ErrorCode.UNSUPPORTED,
                        "keytool of this Java made no credential for " + folder + ": " + said);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CastaliaException(ErrorCode.UNSUPPORTED, "interrupted", e);
        } finally {
            process.destroyForcibly();
        }
    }
}
