package castalia.kernels.natives;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.util.UUID;
import java.util.zip.CRC32;

/**
 * Native code in folders of our own. Libraries are unpacked from the jars on the class path: a file
 * already there is used if its length and CRC-32 are those the jar's directory states, and replaced
 * otherwise; a new one appears under its name only when it is complete.
 */
public final class NativeFile {

    private static final int BUFFER_BYTES = 1 << 20;

    private NativeFile() {}

    /**
     * Unpacks a resource under its own name.
     *
     * @param resource its path on the class path
     * @return the folder's absolute path
     */
    public static synchronized String unpack(ClassLoader loader, String resource, String folder)
            throws IOException {
        File made = folder(folder);
        unpack(loader, resource, made, resource.substring(resource.lastIndexOf('/') + 1));
        return made.getAbsolutePath();
    }

    /** Makes what is not there yet. */
    @FunctionalInterface
    public interface Maker {
        byte[] make();
    }

    /** A file's content; made and written where it is not there, complete or not at all. */
    public static synchronized byte[] keep(String folder, String name, Maker maker)
            throws IOException {
        File file = new File(folder(folder), name);
        if (file.isFile()) {
            try (InputStream in = new FileInputStream(file)) {
                return in.readAllBytes();
            }
        }
        byte[] content = maker.make();
        File temporary = new File(folder, name + "." + UUID.randomUUID() + ".tmp");
        try (FileOutputStream out = new FileOutputStream(temporary)) {
            out.write(content);
            out.getFD().sync();
        }
        if (!temporary.renameTo(file)) {
            throw new IOException("cannot rename " + temporary + " to " + file);
        }
        return content;
    }

    private static File folder(String folder) throws IOException {
        File made = new File(folder);
        if (!made.isDirectory() && !made.mkdirs() && !made.isDirectory()) {
            throw new IOException("cannot make the folder " + made.getAbsolutePath());
        }
        return made;
    }

    private static void unpack(ClassLoader loader, String resource, File folder, String name)
            throws IOException {
        URL url = loader.getResource(resource);
        if (url == null) {
            throw new IOException("no " + resource + " on the class path");
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
