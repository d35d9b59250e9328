/** The data plane over Unix domain sockets and TCP. */
@NullMarked
package castalia.workers.exchange.socket;

import org.jspecify.annotations.NullMarked;
