package castalia.deploy.configuration;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * The keys of GPT-NeoX (v1.0 and since) that Castalia does not read: harmless ones, ones that must
 * keep the value that switches them off, and ones it refuses. Keys are in canonical spelling.
 */
final class NeoxKeys {

    private static final Map<String, String> HARMLESS = new LinkedHashMap<>();
    private static final Map<String, Fixed> FIXED = new LinkedHashMap<>();
    private static final Set<String> REFUSED = new TreeSet<>();

    /** What to use in place of some refused keys. */
    private static final Map<String, String> INSTEAD = Map.of(
            "clip-grad", "gradient_clipping",
            "batch-size", "train_micro_batch_size_per_gpu",
            "lr", "optimizer: params: lr",
            "optimizer-type", "optimizer: type",
            "zero-stage", "zero_optimization: stage",
            "padded-vocab-size", "castalia: vocabulary",
            "save-iters", "extra-save-iters",
            "train-epochs", "train-iters");

    private NeoxKeys() {}

    /** The only values a key may have, and why. */
    record Fixed(List<String> allowed, String reason) {
        Fixed {
            allowed = List.copyOf(allowed);
        }
    }

    /** Why a key may have any value without effect. */
    static Optional<String> harmless(String key) {
        return Optional.ofNullable(HARMLESS.get(key));
    }

    /** The values a key is bound to. */
    static Optional<Fixed> fixed(String key) {
        return Optional.ofNullable(FIXED.get(key));
    }

    /** Whether GPT-NeoX knows the key and Castalia does not offer what it asks for. */
    static boolean refused(String key) {
        return REFUSED.contains(key);
    }

    /** The key to use in place of a refused one. */
    static Optional<String> instead(String key) {
        return Optional.ofNullable(INSTEAD.get(key));
    }

    /** All keys that are accepted without being read. */
    static Collection<String> accepted() {
        Set<String> keys = new TreeSet<>(HARMLESS.keySet());
        keys.addAll(FIXED.keySet());
        return keys;
    }

    /** All keys of the three tables. */
    static Collection<String> all() {
        Collection<String> keys = accepted();
        keys.addAll(REFUSED);
        return keys;
    }

    private static void harmless(String reason, String keys) {
        words(keys).forEach(key -> put(HARMLESS, key, reason));
    }

    private static void fixed(String allowed, String reason, String keys) {
        words(keys).forEach(key -> put(FIXED, key, new Fixed(words(allowed), reason)));
    }

    private static void refuse(String keys) {
        REFUSED.addAll(words(keys));
    }

    private static List<String> words(String text) {
        return List.of(text.strip().split("\\s+"));
    }

    private static <V> void put(Map<String, V> table, String key, V value) {
        if (table.put(key, value) != null) {
            throw new IllegalStateException(key + " stands in a table twice");
        }
    }

    static {
        harmlessKeys();
        fixedKeys();
        refusedKeys();
    }

    private static void harmlessKeys() {
        harmless("how GPT-NeoX starts its processes", """
                launcher deepspeed-slurm deepspeed-mpi hostfile include exclude num-nodes num-gpus
                master-port master-addr no-ssh-check force-multi detect-nvlink-pairs comment account
                user-script distributed-backend use-shared-fs local-rank rank lazy-mpu-init
                world-size global-num-gpus deepspeed-extra-args""");
        harmless("what GPT-NeoX logs and where", """
                steps-per-print wall-clock-breakdown log-dir tensorboard-dir log-grad-norm
                log-param-norm log-grad-pct-zeros log-optimizer-states log-gradient-noise-scale
                gradient-noise-scale-n-batches gradient-noise-scale-cpu-offload use-wandb
                wandb-group wandb-run-name wandb-team wandb-project wandb-host
                wandb-init-all-ranks use-comet
                comet-workspace comet-project comet-experiment-name comet-tags comet-others git-hash
                peak-theoretical-tflops memory-profiling memory-profiling-path profile
                profile-step-start profile-step-stop profile-backward dump-state flops-profiler
                tensorboard wandb csv-monitor comms-logger""");
        harmless("fused forms of the same operations", """
                scaled-upper-triang-masked-softmax-fusion scaled-masked-softmax-fusion
                bias-dropout-fusion layernorm-fusion rmsnorm-fusion rope-fusion
                fused-kernels-build-path""");
        harmless("attention weights, gradients and their sums are fp32 always", """
                attention-softmax-in-fp32 fp32-allreduce communication-data-type data-types
                prescale-gradients gradient-predivide-factor""");
        harmless("how activations are kept; checkpoint-activations alone decides", """
                checkpoint-num-layers partition-activations synchronize-each-layer
                contiguous-checkpointing checkpoint-in-cpu deepspeed-activation-checkpointing
                activation-checkpointing""");
        harmless("the data reader maps the file and reads ahead", "num-workers mmap-warmup");
        harmless("the schedule is part of the specification", """
                override-lr-scheduler use-checkpoint-lr-scheduler""");
        harmless("used by GPT-NeoX's generation and evaluation only", """
                text-gen-type temperature top-p top-k return-logits maximum-tokens prompt-end
                sample-input-file sample-output-file num-samples recompute eval-results-prefix
                eval-tasks char-level-ppl precompute-model-name""");
        harmless("used by features that are refused by their own keys", """
                rms-norm-epsilon scalenorm-epsilon rpe-num-buckets rpe-max-distance
                opt-pos-emb-offset gmlp-attn-dim param-sharing-style pipe-partition-method
                weighted-sampler-alpha adlr-autoresume-interval short-seq-prob deepscale-config
                base-shapes-file mup-init-scale mup-attn-temp mup-output-temp mup-embedding-mult
                mup-rp-embedding-mult mup-width-scale moe-expert-interval moe-top-k moe-router-type
                moe-lbl-in-fp32 moe-jitter-eps""");
        harmless("checkpoints are laid out independently of processes", """
                checkpoint rotary-save-freqs-buffer use-cpu-initialization
                checkpoint-validation-with-forward-pass""");
    }

    private static void fixedKeys() {
        fixed("0", "dropout is not offered; the published models have none",
                "hidden-dropout attention-dropout");
        fixed("layernorm", "other norms are not offered", "norm");
        fixed("0 1", "layers are not divided into pipeline stages", "pipe-parallel-size");
        fixed("column", "the head is cut by vocabulary rows", "output-layer-parallelism");
        fixed("HFTokenizer", "tokenizers are Hugging Face tokenizer.json files", "tokenizer-type");
        fixed("mmap infer", "token files are memory-mapped .bin and .idx", "data-impl");
        fixed("linear", "milestones are multiples of checkpoint-factor", "checkpoint-scale");
        fixed("false", "this variant of the model is not offered", """
                gpt-j-tied apply-query-key-layer-scaling use-mup coord-check use-qk-layernorm
                sequence-parallel te-columnparallel te-rowparallel te-layernorm-mlp te-mha
                use-flashattn-swiglu onnx-safe deepscale""");
        fixed("true", "this variant of the model is not offered",
                "use-bias-in-norms use-bias-in-attn-linear use-bias-in-mlp");
        fixed("1", "this variant of the model is not offered",
                "mlp-multiple-of moe-num-experts");
        fixed("false", "cross-entropy is computed in fp32", "fp16-lm-cross-entropy");
        fixed("false", "every token counts in the loss", "eod-mask-loss");
        fixed("false", "weights are given by train-data-weights", "weight-by-num-documents");
        fixed("false", "optimizer state is part of every full checkpoint", """
                no-save-optim no-save-rng no-load-optim no-load-rng finetune adlr-autoresume""");
        fixed("false", "AdamW keeps fp32 moments", "use-bnb-optimizer sparse-gradients");
        fixed("true", "training is what this file is for", "do-train");
        fixed("true", "this setting describes GPT-NeoX's engine", "deepspeed");
        fixed("normal", "other objectives are not offered", "train-impl");
        fixed("gpt2", "other data sets are not offered", "dataset-impl");
        fixed("packed", "sequences are packed", "pack-impl");
        fixed("true", "sequences are packed", "allow-chopped");
        fixed("0", "this term of the loss is not offered", "z-loss");
        fixed("0", "this term of the loss is not offered", "curriculum-seqlen");
    }

    private static void refusedKeys() {
        refuse("""
                sparsity-config sparse-attention num-unique-layers soft-prompt-tuning
                expansion-factor num-kv-heads sliding-window-width mamba-selective-scan-fusion
                mamba-causal-conv-fusion mamba-inner-func-fusion mamba-selective-fp32-params
                mamba-use-bias-in-conv mamba-use-bias-in-linears dim-att head-size ffn-dim
                te-fp8-format te-fp8-wgrad te-fp8-amax-history-len te-fp8-amax-compute-algo
                te-fp8-margin te-fp8-mha serve-model-weights weight-server-port
                online-dataserver-ips online-dataserver-ports lr-decay-fraction scheduler amp
                curriculum-learning autotuning autotuning-run data-efficiency elasticity
                compression-training save-base-shapes
                zero-allow-untested-optimizer zero-stage zero-reduce-scatter
                zero-contiguous-gradients zero-reduce-bucket-size zero-allgather-bucket-size
                optimizer-type lr clip-grad batch-size is-pipe-parallel padded-vocab-size
                merge-file train-epochs exit-interval iteration save-iters keep-last-n-checkpoints
                do-valid do-test s3-path s3-chunk-size config-files dynamic-loss-scale loss-scale
                loss-scale-window min-scale hysteresis train-label-data-paths
                train-reward-data-paths test-label-data-paths test-reward-data-paths
                valid-label-data-paths valid-reward-data-paths pos-train-data-paths
                neg-train-data-paths pos-train-label-data-paths neg-train-label-data-paths
                pos-valid-data-paths neg-valid-data-paths pos-valid-label-data-paths
                neg-valid-label-data-paths pos-test-data-paths neg-test-data-paths
                pos-test-label-data-paths neg-test-label-data-paths dpo-fp32 dpo-reference-free
                dpo-beta kto-fp32 kto-desirable-weight kto-undesirable-weight kto-beta
                fp32-reinforce kl-impl kl-div-beta reinforce-leave-one-out""");
    }
}
