package castalia.actors.planted;

import castalia.workers.planted.Named;

/** A class of actors that uses workers, which it must not. */
public final class Shell {
    private final Named named = new Named();

    int number() {
        return named.hashCode();
    }
}
