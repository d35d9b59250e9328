package castalia.protocol.model;

/** Which form of GELU the feed-forward layer uses. Pythia was trained with {@link #TANH}. */
public enum Gelu {
    /** {@code x/2 (1 + erf(x/sqrt 2))}: {@code hidden_act "gelu"} of Hugging Face. */
    ERF,
    /** The tanh approximation: {@code "gelu_new"}, GPT-NeoX's {@code bias-gelu-fusion}. */
    TANH
}
