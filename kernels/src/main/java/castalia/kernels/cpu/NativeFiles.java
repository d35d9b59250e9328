package castalia.kernels.cpu;

import castalia.kernels.natives.NativeFile;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.Properties;

/**
 * Unpacks oneDNN and its OpenMP runtime from the jar on the class path.
 */
final class NativeFiles {

    static final String DNNL = "libdnnl.so.3";
    static final String OPENMP = "libgomp.so.1";

    private static final String FOLDER = "org/bytedeco/dnnl/linux-x86_64/";
    private static final String PROPERTIES = "META-INF/maven/org.bytedeco/dnnl/pom.properties";

    private NativeFiles() {}

    /** Version of the jar on the class path. */
    static String version() throws IOException {
        URL url = NativeFiles.class.getClassLoader().getResource(PROPERTIES);
        if (url == null) {
            throw new IOException("the oneDNN jar (org.bytedeco:dnnl) is not on the class path");
        }
        Properties properties = new Properties();
        try (InputStream in = url.openStream()) {
            properties.load(in);
        }
        String version = properties.getProperty("version", "");
        if (!version.matches("[0-9A-Za-z.-]+")) {
            throw new IOException("the oneDNN jar states the version '" + version + "'");
        }
        return version;
    }

    /** Unpacks both libraries below {@code nativesFolder} and returns their folder. */
    static synchronized File unpack(String nativesFolder) throws IOException {
        ClassLoader loader = NativeFiles.class.getClassLoader();
        String folder = new File(nativesFolder, version()).getPath();
        NativeFile.unpack(loader, FOLDER + OPENMP, folder);
        return new File(NativeFile.unpack(loader, FOLDER + DNNL, folder));
    }
}
