/**
 * Token files, GPT-NeoX v1.0's sample order, batches, tokenizers and the preparation of text.
 *
 * <p>From the bottom: {@link castalia.workers.data.TokenFile} and its writer; {@link
 * castalia.workers.data.SampleOrder} over numpy's generator; {@link
 * castalia.workers.data.SampleReader} joins the two; {@link castalia.workers.data.BatchSource}
 * gives the micro-batches of a step and {@link castalia.workers.data.BatchReader} reads them one
 * step ahead.
 */
@org.jspecify.annotations.NullMarked
package castalia.workers.data;
