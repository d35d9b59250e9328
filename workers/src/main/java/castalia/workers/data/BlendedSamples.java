package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Several data sets, each in its own order, blended by weights as GPT-NeoX does. */
public final class BlendedSamples implements Samples {
    private final List<SampleReader> sets;
    private final double[] weights;
    private final long wanted;
    private final long length;
    private final Blending blending;

    /**
     * @param sets two or more, of one sequence length
     * @param weights one for each
     * @param wanted sequences of the whole run, from which each set's request came; indices beyond
     *     it are refused
     */
    public BlendedSamples(List<SampleReader> sets, double[] weights, long wanted) {
        this.sets = List.copyOf(sets);
        this.weights = weights.clone();
        this.wanted = wanted;
        if (sets.size() != weights.length) {
            throw new IllegalArgumentException(sets.size() + " sets, " + weights.length + " weights");
        }
        int sequence = sets.getFirst().sequenceLength();
        long sum = 0;
        for (SampleReader set : sets) {
            if (set.sequenceLength() != sequence) {
                throw new IllegalArgumentException(
                        "sequence lengths " + sequence + " and " + set.sequenceLength());
            }
            sum = Math.addExact(sum, set.length());
        }
        this.length = sum;
        this.blending = Blending.build(Blending.shares(weights), Math.min(length, wanted));
    }

    @Override
    public int sequenceLength() {
        return sets.getFirst().sequenceLength();
    }

    @Override
    public long length() {
        return length;
    }

    private long within(long datasetIndex) {
        long index = datasetIndex % length;
        if (datasetIndex < 0 || index >= blending.length()) {
            throw new DataException("sample " + datasetIndex + " is asked for, the blend was made"
                    + " for a run of " + wanted + " sequences");
        }
        return index;
    }

    private SampleReader set(long index) {
        return sets.get(blending.set(index));
    }

    private long sample(long index) {
        return set(index).order().sampleInBlend(blending.indexInSet(index));
    }

    @Override
    public void tokens(
            long datasetIndex, int first, int count, MemorySegment target, long targetByte) {
        long index = within(datasetIndex);
        set(index).sampleTokens(sample(index), first, count, target, targetByte);
    }

    @Override
    public List<Piece> pieces(long datasetIndex) {
        long index = within(datasetIndex);
        return set(index).samplePieces(sample(index));
    }

    @Override
    public String describe(long datasetIndex, int token) {
        long index = within(datasetIndex);
        return set(index).describeSample(sample(index), token);
    }

    @Override
    public List<String> description() {
        List<String> lines = new ArrayList<>();
        lines.add("data.kind=blend");
        lines.add("data.sets=" + sets.size());
        for (int i = 0; i < sets.size(); i++) {
            DataDigest digest = sets.get(i).file().digest();
            SampleOrder.Request request = sets.get(i).order().request();
            lines.add("data." + i + ".idx.sha256=" + digest.idxSha256());
            lines.add("data." + i + ".bin.sha256=" + digest.binSha256());
            lines.add("data." + i + ".weight=" + weights[i]);
            lines.add("data." + i + ".samples=" + request.samples());
        }
        SampleOrder.Request first = sets.getFirst().order().request();
        lines.add("order=gpt-neox-v1.0-blend");
        lines.add("order.sequence=" + first.sequenceLength());
        lines.add("order.seed=" + first.seed());
        return List.copyOf(lines);
    }
}
