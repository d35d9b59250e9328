package castalia.workers.planted;

import akka.planted.Actor;

import castalia.actors.planted.Shell;

import jcuda.planted.Driver;

import jdk.incubator.vector.FloatVector;

import picocli.CommandLine;

import java.io.FileReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Breaks the rules of workers, so that their test can be seen to fail. */
final class Offender {
    private final Actor actor = new Actor();
    private final Shell shell = new Shell();
    private final Driver driver = new Driver();

    int lanes() {
        return FloatVector.SPECIES_PREFERRED.length()
                + actor.hashCode()
                + shell.hashCode()
                + driver.hashCode();
    }

    int read(String name) throws IOException {
        try (FileReader reader = new FileReader(name, StandardCharsets.UTF_8)) {
            return reader.read();
        }
    }

    void poll() throws InterruptedException {
        Thread.sleep(1);
        if (new CommandLine(this).isUsageHelpRequested()) {
            Runtime.getRuntime().halt(1);
        }
    }
}
