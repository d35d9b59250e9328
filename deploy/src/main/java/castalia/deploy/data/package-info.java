/** What the {@code data} commands show of token files, sample orders and the batches of a run. */
@org.jspecify.annotations.NullMarked
package castalia.deploy.data;
