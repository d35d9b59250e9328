package castalia.checkpoints;

import java.io.IOException;
import java.nio.file.Path;

/** File operations that hand everything on; tests override what they change. */
class ForwardingFiles implements FileOperations {

    private final FileOperations files;

    ForwardingFiles(FileOperations files) {
        this.files = files;
    }

    @Override
    public Output create(Path file) throws IOException {
        return files.create(file);
    }

    @Override
    public void link(Path link, Path existing) throws IOException {
        files.link(link, existing);
    }

    @Override
    public void move(Path from, Path to) throws IOException {
        files.move(from, to);
    }

    @Override
    public boolean delete(Path file) throws IOException {
        return files.delete(file);
    }

    @Override
    public void createDirectory(Path folder) throws IOException {
        files.createDirectory(folder);
    }

    @Override
    public void touch(Path file) throws IOException {
        files.touch(file);
    }

    @Override
    public void forceDirectory(Path folder) throws IOException {
        files.forceDirectory(folder);
    }

    @Override
    public long usableBytes(Path folder) throws IOException {
        return files.usableBytes(folder);
    }
}
