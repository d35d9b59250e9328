package castalia.kernels.cpu;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.util.Properties;
import java.util.UUID;
import java.util.zip.CRC32;

/**
 * Unpacks oneDNN and its OpenMP runtime from the jar on the class path. A file already there is
 * used if its length and CRC-32 are those the jar's directory states, and replaced otherwise; a
 * new one appears under its name only when it is complete.
 */
final class NativeFiles {

    static final String DNNL = "libdnnl.so.3";
    static final String OPENMP = "libgomp.so.1";

    private static final String FOLDER = "org/bytedeco/dnnl/linux-x86_64/";
    private static final String PROPERTIES = "META-INF/maven/org.bytedeco/dnnl/pom.properties";
    private static final int BUFFER_BYTES = 1 << 20;

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
        File folder = new File(nativesFolder, version());
        if (!folder.isDirectory() && !folder.mkdirs() && !folder.isDirectory()) {
            throw new IOException("cannot make the folder " + folder.getAbsolutePath());
        }
        unpack(folder, OPENMP);
        unpack(folder, DNNL);
        return folder.getAbsoluteFile();
    }

    private static void unpack(File folder, String name) throws IOException {
        URL url = NativeFiles.class.getClassLoader().getResource(FOLDER + name);
        if (url == null) {
            throw new IOException("no " + name + " for linux-x86_64 on the class path");
        }
        URLConnection connection = url.openConnection();
        long length;
        long checksum;
        if (connection instanceof JarURLConnection jar) {
            length = jar.getJarEntry().getSize();
            checksum = jar.getJarEntry().getCrc();
        } else {
            length = connection.getContentLengthLong();
            try (InputStream in = url.openStream()) {
                checksum = checksum(in);
            }
        }
        File file = new File(folder, name);
        if (file.length() == length && checksum(file) == checksum) {
            return;
        }
        File temporary = new File(folder, name + "." + UUID.randomUUID() + ".tmp");
        try {
            write(temporary, connection);
            if (temporary.length() != length || checksum(temporary) != checksum) {
                throw new IOException(temporary + " differs from the jar after it was written");
            }
            if (!temporary.renameTo(file)) {
                throw new IOException("cannot rename " + temporary + " to " + file);
            }
        } finally {
            if (temporary.exists() && !temporary.delete()) {
                temporary.deleteOnExit();
            }
        }
    }

    private static void write(File file, URLConnection from) throws IOException {
        try (InputStream in = from.getInputStream();
                FileOutputStream out = new FileOutputStream(file)) {
            in.transferTo(out);
            out.getFD().sync();
        }
    }

    private static long checksum(File file) throws IOException {
        try (InputStream in = new FileInputStream(file)) {
            return checksum(in);
        }
    }

    private static long checksum(InputStream in) throws IOException {
        CRC32 crc = new CRC32();
        byte[] buffer = new byte[BUFFER_BYTES];
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
            crc.update(buffer, 0, read);
        }
        return crc.getValue();
    }
}
