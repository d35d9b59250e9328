package castalia.deploy.configuration;

/** What the forward pass keeps for the backward pass. It changes memory and time, never a bit. */
public enum Recomputation {
    /** All activations. */
    NONE,
    /** The input of each block; the rest is computed again. */
    BLOCK
}
