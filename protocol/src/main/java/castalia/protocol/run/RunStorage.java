package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Claimant;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.step.ScalarState;
import java.util.List;
import java.util.Optional;

/**
 * The durable part of a run as its coordinator needs it. Every call may block on a disk; none is
 * made on an actor's dispatcher. Failures are {@link castalia.protocol.CastaliaException}s.
 */
public interface RunStorage extends AutoCloseable {

    /**
     * Claims the term after the newest. The record is exclusive: of several that try, one wins.
     *
     * @return the term won, or empty if another was faster
     */
    Optional<Long> claimTerm(Claimant by);

    /** The newest term claimed by anybody, 0 for none. */
    long newestTerm();

    /** The newest claim, empty if there never was one. */
    Optional<Claim> newestClaim();

    /**
     * A claim.
     *
     * @param by empty if its record does not say whom to ask
     */
    record Claim(long term, Optional<Claimant> by) {}

    /**
     * Keeps processes that are no candidates of this run from training it beside its coordinator, as
     * far as that is possible now. To be called by the coordinator again and again.
     */
    void keepOthersOut();

    /** The layout that was asked for last, by anybody; empty if none was. */
    Optional<LayoutWish> wish();

    /** The newest checkpoint that is whole, every byte checked. */
    Optional<Newest> newestCheckpoint();

    /** A checkpoint: its scalar state and its state's SHA-256. */
    record Newest(ScalarState scalars, String stateHash) {}

    /**
     * Publishes a checkpoint whose chunks are stored and settled; when it returns it survives a
     * power cut.
     *
     * @return the state's SHA-256
     */
    String publish(ScalarState scalars, List<ChunkEntry> entries, long parentStep);

    /** Keeps a generation's record for people who look at the folder later. */
    void logGeneration(GenerationPlan plan);

    @Override
    void close();
}
