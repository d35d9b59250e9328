package castalia.actors.tls;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import org.jspecify.annotations.Nullable;

/**
 * A handshake with a node whose credential is not known yet: its certificate says where that is. The
 * node is believed as all others are, by the signature that only who has the credential's key makes.
 */
public final class FirstMeeting {

    private final Function<X509Certificate, Credential> find;
    private @Nullable Credential credential;
    private @Nullable RuntimeException failure;

    private FirstMeeting(Function<X509Certificate, Credential> find) {
        this.find = find;
    }

    /**
     * Connects, and shows what {@code find} gives for the certificate of the other side; what that
     * throws is thrown.
     *
     * @param millis longest wait
     * @return what was found
     * @throws IOException if nobody accepts there or answers in time
     * @throws javax.net.ssl.SSLException if the other side does not speak TLS as nodes do
     */
    public static Credential with(
            String host, int port, int millis, Function<X509Certificate, Credential> find)
            throws IOException {
        FirstMeeting meeting = new FirstMeeting(find);
        try (Socket plain = new Socket()) {
            plain.connect(new InetSocketAddress(host, port), millis);
            plain.setSoTimeout(millis);
            // One byte at a time would keep every read in time.
            CompletableFuture.delayedExecutor(millis, TimeUnit.MILLISECONDS).execute(() -> end(plain));
            SSLContext context = Credential.context(
                    meeting::found, new ShownCertificate(meeting::shown));
            try (SSLSocket socket = (SSLSocket) context.getSocketFactory()
                    .createSocket(plain, host, port, true)) {
                socket.setSSLParameters(Credential.parameters());
                socket.startHandshake();
            }
            return meeting.found();
        } catch (IOException e) {
            if (meeting.failure != null) {
                throw meeting.failure;
            }
            throw e;
        }
    }

    private static void end(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // it is of no use any more
        }
    }

    private void shown(X509Certificate certificate) throws CertificateException {
        try {
            credential = find.apply(certificate);
        } catch (RuntimeException e) {
            failure = e;
            throw new CertificateException(e);
        }
        ShownCertificate.only(found().certificate()).checkServerTrusted(
                new X509Certificate[] {certificate}, "");
    }

    private Credential found() {
        Credential known = credential;
        if (known == null) {
            throw new IllegalStateException("nobody has shown a certificate");
        }
        return known;
    }
}
