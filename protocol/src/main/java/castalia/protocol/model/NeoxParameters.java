package castalia.protocol.model;

import castalia.protocol.model.Parameter.Role;
import java.util.ArrayList;
import java.util.List;

/**
 * The single list of a model's tensors, in the order of the flat parameter space.
 *
 * <p>Within a block the matrices come first, then the vectors every slice uses, then the vectors
 * that slices cut. QKV rows are grouped per head: d rows of Q, d of K, d of V.
 */
public final class NeoxParameters {

    private NeoxParameters() {}

    /** All tensors of {@code shape}: {@code 4 + 12 L} of them. */
    public static List<Parameter> of(ModelShape shape) {
        int h = shape.hidden();
        int f = shape.intermediate();
        List<Parameter> list = new ArrayList<>(4 + 12 * shape.layers());
        list.add(new Parameter(
                0, Role.EMBEDDING, "gpt_neox.embed_in.weight", shape.vocabulary(), h));
        for (int block = 0; block < shape.layers(); block++) {
            String p = "gpt_neox.layers." + block + ".";
            int layer = block + 1;
            list.add(new Parameter(
                    layer, Role.QKV_WEIGHT, p + "attention.query_key_value.weight", 3 * h, h));
            list.add(new Parameter(layer, Role.DENSE_WEIGHT, p + "attention.dense.weight", h, h));
            list.add(new Parameter(layer, Role.UP_WEIGHT, p + "mlp.dense_h_to_4h.weight", f, h));
            list.add(new Parameter(layer, Role.DOWN_WEIGHT, p + "mlp.dense_4h_to_h.weight", h, f));
            list.add(new Parameter(layer, Role.LN1_WEIGHT, p + "input_layernorm.weight", h, 1));
            list.add(new Parameter(layer, Role.LN1_BIAS, p + "input_layernorm.bias", h, 1));
            list.add(new Parameter(
                    layer, Role.LN2_WEIGHT, p + "post_attention_layernorm.weight", h, 1));
            list.add(new Parameter(
                    layer, Role.LN2_BIAS, p + "post_attention_layernorm.bias", h, 1));
            list.add(new Parameter(layer, Role.DENSE_BIAS, p + "attention.dense.bias", h, 1));
            list.add(new Parameter(layer, Role.DOWN_BIAS, p + "mlp.dense_4h_to_h.bias", h, 1));
            list.add(new Parameter(
                    layer, Role.QKV_BIAS, p + "attention.query_key_value.bias", 3 * h, 1));
            list.add(new Parameter(layer, Role.UP_BIAS, p + "mlp.dense_h_to_4h.bias", f, 1));
        }
        int last = shape.layers() + 1;
        list.add(new Parameter(
                last, Role.FINAL_LN_WEIGHT, "gpt_neox.final_layer_norm.weight", h, 1));
        list.add(new Parameter(last, Role.FINAL_LN_BIAS, "gpt_neox.final_layer_norm.bias", h, 1));
        list.add(new Parameter(last, Role.HEAD, "embed_out.weight", shape.vocabulary(), h));
        return List.copyOf(list);
    }
}
