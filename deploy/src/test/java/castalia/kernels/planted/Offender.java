package castalia.kernels.planted;

import castalia.workers.planted.Named;

/** A class of kernels that uses workers, which it must not. */
final class Offender {
    private final Named named = new Named();

    int number() {
        return named.hashCode();
    }
}
