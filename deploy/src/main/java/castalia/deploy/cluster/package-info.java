/** Real processes: node agents, workers, candidates, and what they need from the folder and people. */
@NullMarked
package castalia.deploy.cluster;

import org.jspecify.annotations.NullMarked;
