package castalia.actors.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * Judges the other side by its certificate alone; that it also has the key is proved by the
 * handshake's signature. No authority is asked and no date looked at: clocks of nodes differ, and a
 * run may take months.
 */
final class ShownCertificate extends X509ExtendedTrustManager {

    private final Judge judge;

    /** Throws where a certificate is not believed. */
    @FunctionalInterface
    interface Judge {
        void require(X509Certificate shown) throws CertificateException;
    }

    ShownCertificate(Judge judge) {
        this.judge = judge;
    }

    /** Believes who shows this one. */
    static ShownCertificate only(X509Certificate ours) {
        return new ShownCertificate(shown -> {
            if (!shown.equals(ours)) {
                throw new CertificateException("the other side is not of this run");
            }
        });
    }

    private void require(X509Certificate[] chain) throws CertificateException {
        if (chain.length == 0) {
            throw new CertificateException("no certificate");
        }
        judge.require(chain[0]);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
            throws CertificateException {
        require(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
            throws CertificateException {
        require(chain);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
            throws CertificateException {
        require(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
            throws CertificateException {
        require(chain);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type)
            throws CertificateException {
        require(chain);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type)
            throws CertificateException {
        require(chain);
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
        return new X509Certificate[0];
    }
}
