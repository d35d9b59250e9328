package castalia.protocol.specification;

import castalia.protocol.model.ModelShape;
import castalia.protocol.model.Parameter.Role;

/** Where the weights before the first step come from. */
public sealed interface Initialisation {

    /**
     * Matrices are drawn from normal distributions, vectors are constant.
     *
     * @param matrices rule of the embedding, QKV, the up-projection and the head (init_method)
     * @param outputs rule of the matrices that write to the residual stream: attention's dense and
     *     the down-projection (output_layer_init_method)
     */
    record Drawn(Rule matrices, Rule outputs) implements Initialisation {

        /** The lines most published configurations contain. */
        public static Drawn published() {
            return new Drawn(new SmallInit(), new WangInit());
        }

        /** GPT-NeoX's defaults, used by pythia-6.9b and pythia-12b. */
        public static Drawn defaults() {
            return new Drawn(new Normal(0.02), new ScaledNormal(0.02));
        }

        /** Standard deviation of a tensor's initial values; 0 for the vectors. */
        public double std(Role role, ModelShape shape) {
            return switch (role) {
                case EMBEDDING, QKV_WEIGHT, UP_WEIGHT, HEAD -> matrices.std(shape);
                case DENSE_WEIGHT, DOWN_WEIGHT -> outputs.std(shape);
                case LN1_WEIGHT, LN1_BIAS, LN2_WEIGHT, LN2_BIAS, DENSE_BIAS, DOWN_BIAS, QKV_BIAS,
                        UP_BIAS, FINAL_LN_WEIGHT, FINAL_LN_BIAS -> 0;
            };
        }
    }

    /**
     * Weights read from a Hugging Face folder.
     *
     * @param sha256 hash of the weights, 64 hexadecimal digits
     */
    record FromFolder(String sha256) implements Initialisation {
        public FromFolder {
            Checks.sha256("initial weights", sha256);
        }
    }

    /** How a standard deviation follows from the shape. */
    sealed interface Rule {

        /** The standard deviation for a model. */
        double std(ModelShape shape);
    }

    /** {@code sqrt(2 / (5 h))}. */
    record SmallInit() implements Rule {
        @Override
        public double std(ModelShape shape) {
            return Math.sqrt(2 / (5.0 * shape.hidden()));
        }
    }

    /** {@code 2 / (L sqrt(h))}. */
    record WangInit() implements Rule {
        @Override
        public double std(ModelShape shape) {
            return 2.0 / shape.layers() / Math.sqrt(shape.hidden());
        }
    }

    /** A fixed deviation (init_method_std). */
    record Normal(double std) implements Rule {
        public Normal {
            Checks.deviation(std);
        }

        @Override
        public double std(ModelShape shape) {
            return std;
        }
    }

    /** {@code std / sqrt(2 L)}. */
    record ScaledNormal(double std) implements Rule {
        public ScaledNormal {
            Checks.deviation(std);
        }

        @Override
        public double std(ModelShape shape) {
            return std / Math.sqrt(2.0 * shape.layers());
        }
    }
}
