package castalia.actors;

import castalia.actors.tls.Credential;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.concurrent.TimeUnit;

/** Credentials made by keytool. */
public final class Credentials {

    private static final char[] PASSWORD = "castalia".toCharArray();
    private static final Credential OURS = make();

    private Credentials() {}

    /** The one that all processes of these tests have. */
    public static Credential ours() {
        return OURS;
    }

    /** A new one. */
    public static Credential make() {
        try {
            Path folder = Files.createTempDirectory("credential");
            Path file = folder.resolve("p12");
            Process keytool = new ProcessBuilder(
                    Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                    "-genkeypair", "-alias", "run", "-keyalg", "EC", "-groupname", "secp256r1",
                    "-sigalg", "SHA256withECDSA", "-dname", "CN=castalia", "-storetype", "PKCS12",
                    "-storepass", new String(PASSWORD), "-keystore", file.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            if (!keytool.waitFor(60, TimeUnit.SECONDS) || keytool.exitValue() != 0) {
                throw new AssertionError("keytool made no credential");
            }
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (InputStream in = Files.newInputStream(file)) {
                store.load(in, PASSWORD);
            }
            Files.delete(file);
            Files.delete(folder);
            return new Credential((PrivateKey) store.getKey("run", PASSWORD),
                    (X509Certificate) store.getCertificate("run"));
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }
}
