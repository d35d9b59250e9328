package castalia.protocol.planted;

import castalia.workers.planted.Named;

import java.util.Random;

/** Breaks the rules of protocol, so that their test can be seen to fail. */
final class Offender {
    private final Random random = new Random(1);
    private final Named other = new Named();

    long chance() {
        return random.nextLong() + System.nanoTime() + other.hashCode();
    }
}
