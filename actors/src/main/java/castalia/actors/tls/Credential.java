package castalia.actors.tls;

import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.function.Supplier;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;

/**
 * What shows that a process is of a run: one key and its certificate, which all processes of the run
 * share. Whoever has the key is believed, and nobody else.
 *
 * @param key the secret
 * @param certificate the key's certificate; its dates and names say nothing about who is believed
 */
public record Credential(PrivateKey key, X509Certificate certificate) {

    private static final String PROTOCOL = "TLSv1.3";
    private static final String[] SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};

    /** Makes connections on which both sides show this credential. */
    SSLContext context() {
        return context(() -> this, ShownCertificate.only(certificate));
    }

    static SSLContext context(Supplier<Credential> shown, ShownCertificate believed) {
        try {
            SSLContext context = SSLContext.getInstance(PROTOCOL);
            context.init(new KeyManager[] {new OneKey(shown)}, new TrustManager[] {believed}, null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("this Java has no " + PROTOCOL, e);
        }
    }

    /** Of every connection, whichever side it is seen from. */
    static SSLParameters parameters() {
        SSLParameters parameters = new SSLParameters(SUITES, new String[] {PROTOCOL});
        parameters.setNeedClientAuth(true);
        return parameters;
    }

    /** Not the key: it would end up in a log. */
    @Override
    public String toString() {
        return "credential of " + certificate.getSubjectX500Principal();
    }
}
