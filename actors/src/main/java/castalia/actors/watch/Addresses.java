package castalia.actors.watch;

import akka.actor.Address;

/** Addresses for people. */
public final class Addresses {

    private Addresses() {}

    /** {@code host:port}. */
    public static String text(Address address) {
        return address.getHost().orElse("") + ":" + address.getPort().orElse(0);
    }
}
