package castalia.deploy;

/**
 * The configuration of a run of milliseconds: a model of two layers on synthetic data.
 *
 * @param steps steps of the run
 * @param saveEvery steps between checkpoints
 * @param precision as the file names it
 * @param tensorSlices T
 * @param hidden hidden size; 24 has steps in milliseconds, 128 megabytes of weights
 * @param more further lines of the file
 */
public record TinyYaml(
        int steps, int saveEvery, String precision, int tensorSlices, int hidden, String more) {

    /** Sequences of a step. */
    public static final int BATCH = 8;

    public static final int VIRTUAL_RANKS = 4;

    /** In fp32, with one slice and 24 wide. */
    public static TinyYaml of(int steps, int saveEvery) {
        return new TinyYaml(steps, saveEvery, "fp32", 1, 24, "");
    }

    public TinyYaml withPrecision(String other) {
        return new TinyYaml(steps, saveEvery, other, tensorSlices, hidden, more);
    }

    public TinyYaml withTensorSlices(int other) {
        return new TinyYaml(steps, saveEvery, precision, other, hidden, more);
    }

    public TinyYaml withHidden(int other) {
        return new TinyYaml(steps, saveEvery, precision, tensorSlices, other, more);
    }

    /** With a line more. */
    public TinyYaml with(String line) {
        return new TinyYaml(steps, saveEvery, precision, tensorSlices, hidden, more + line + "\n");
    }

    /** The file's text. */
    public String text() {
        return """
                # a comment, as published files have
                "num-layers": 2
                "hidden-size": %d
                "num-attention-heads": 4
                "seq-length": 20
                "max-position-embeddings": 32
                "pos-emb": "rotary"
                "rotary-pct": 0.7
                "no-weight-tying": true
                "gpt-j-residual": true
                "optimizer": {"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.95], "eps": 1.0e-8}}
                "min_lr": 0.0003
                "lr-decay-style": "cosine"
                "weight-decay": 0.1
                "gradient_clipping": 1.0
                "train_micro_batch_size_per_gpu": 1
                "train-iters": %d
                "lr-decay-iters": %d
                "warmup": 0.1
                "fp16": {"initial_scale_power": 19, "hysteresis": 1, "loss_scale_window": 4}
                "checkpoint-factor": %d
                %s"castalia": {
                  "global-batch": %d, "virtual-ranks": %d, "vocabulary": %d, "precision": "%s",
                  "tensor-slices": %d, "synthetic-data": true
                }
                """.formatted(hidden, steps, steps, saveEvery, more, BATCH, VIRTUAL_RANKS,
                hidden == 24 ? 128 : 1024, precision, tensorSlices);
    }
}
