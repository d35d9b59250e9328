package castalia.checkpoints.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.Fixtures;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class HubConfigTest {

    /** As the published Pythia folders have it. */
    private static final String OLD = """
            {
              "architectures": ["GPTNeoXForCausalLM"],
              "bos_token_id": 0,
              "eos_token_id": 0,
              "hidden_act": "gelu",
              "hidden_size": 512,
              "initializer_range": 0.02,
              "intermediate_size": 2048,
              "layer_norm_eps": 1e-05,
              "max_position_embeddings": 2048,
              "model_type": "gpt_neox",
              "num_attention_heads": 8,
              "num_hidden_layers": 6,
              "rotary_emb_base": 10000,
              "rotary_pct": 0.25,
              "tie_word_embeddings": false,
              "torch_dtype": "float16",
              "transformers_version": "4.24.0",
              "use_cache": true,
              "use_parallel_residual": true,
              "vocab_size": 50304
            }
            """;

    private static final ModelShape PYTHIA_70M = new ModelShape(
            6, 512, 8, 2048, 50304, 2048, 16, 10000, 1e-5, true, Gelu.ERF, 1);

    @TempDir Path folder;

    private HubConfig read(String json) throws IOException {
        return HubConfig.read(Files.writeString(folder.resolve("config.json"), json));
    }

    @Test
    void theOldFormIsRead() throws IOException {
        assertThat(read(OLD)).isEqualTo(new HubConfig(PYTHIA_70M, "gelu", 0, 0));
        assertThat(read(OLD).shape(2).publishedModelParallel()).isEqualTo(2);
        assertThat(read(OLD).shape().parameters()).isEqualTo(70_426_624);
    }

    @Test
    void theNewFormIsRead() throws IOException {
        assertThat(HubConfig.read(Fixtures.folder("neox-sequential/config.json")).shape())
                .isEqualTo(new ModelShape(
                        3, 48, 3, 192, 300, 21, 8, 10000, 1e-5, false, Gelu.ERF, 1));
        assertThat(HubConfig.read(Fixtures.folder("hf-tiny/config.json")).shape())
                .isEqualTo(new ModelShape(
                        2, 64, 4, 256, 128, 32, 4, 10000, 1e-5, true, Gelu.ERF, 1));
    }

    @Test
    void absentOptionalKeysHaveTheLibrarysDefaults() throws IOException {
        HubConfig config = read("""
                {"model_type":"gpt_neox","hidden_size":512,"intermediate_size":2048,
                 "max_position_embeddings":2048,"num_attention_heads":8,"num_hidden_layers":6,
                 "vocab_size":50304}""");
        assertThat(config).isEqualTo(new HubConfig(PYTHIA_70M, "gelu", -1, -1));
    }

    @ParameterizedTest
    @CsvSource({
        "gelu, ERF", "gelu_python, ERF", "gelu_new, TANH", "gelu_fast, TANH",
        "gelu_pytorch_tanh, TANH",
    })
    void bothGelusAreToldApart(String act, Gelu gelu) throws IOException {
        assertThat(read(OLD.replace("\"gelu\"", "\"" + act + "\"")).shape().gelu()).isEqualTo(gelu);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "\"gelu\" | \"relu\" | hidden_act is 'relu'",
        "\"gpt_neox\" | \"llama\" | model_type is 'llama'",
        "\"tie_word_embeddings\": false | \"tie_word_embeddings\": true | tie_word_embeddings",
        "\"use_cache\": true | \"attention_bias\": false | attention_bias is false",
        "\"use_cache\": true | \"rope_scaling\": {\"type\":\"linear\"} | rope_scaling",
        "\"use_cache\": true | \"quantization_config\": {\"a\":1} | quantization_config",
        "\"use_cache\": true | \"rope_parameters\": {\"rope_type\":\"yarn\"} | 'yarn'",
        "\"use_cache\": true | \"rope_parameters\": 3 | rope_parameters",
        "\"hidden_size\": 512 | \"hidden_size\": \"512\" | hidden_size is \"512\"",
        "\"hidden_size\": 512 | \"hidden_size\": 512.5 | hidden_size is 512.5",
        "\"hidden_size\": 512 | \"hidden_size\": 99999999999 | hidden_size",
        "\"hidden_size\": 512 | \"hidden_size\": 500 | not a multiple",
        "\"hidden_size\": 512, | ' ' | hidden_size is missing",
        "\"num_attention_heads\": 8 | \"num_attention_heads\": 0 | heads is 0",
        "\"rotary_pct\": 0.25 | \"rotary_pct\": 1.5 | rotary fraction 1.5",
        "\"rotary_pct\": 0.25 | \"rotary_pct\": 0.05 | rotary dimensions 3",
        "\"rotary_pct\": 0.25 | \"rotary_pct\": \"a\" | rotary_pct",
        "\"use_parallel_residual\": true | \"use_parallel_residual\": 1 | use_parallel_residual",
        "\"vocab_size\": 50304 | \"vocab_size\": 50304]  | JSON",
    })
    void whatCannotBeComputedIsRefusedByKey(String from, String to, String complaint) {
        assertThat(OLD).contains(from);
        assertThatThrownBy(() -> read(OLD.replace(from, to)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining(complaint)
                .hasMessageContaining("config.json");
    }

    @Test
    void aMissingOrHugeFileIsRefused() throws IOException {
        assertThatThrownBy(() -> HubConfig.read(folder.resolve("none")))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("does not exist");
        assertThatThrownBy(() -> read(" ".repeat(2 << 20)))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("2097152 bytes");
    }

    @ParameterizedTest
    @EnumSource(value = TensorType.class, names = {"F32", "BF16", "F16"})
    void whatIsWrittenIsReadBackAndHasBothForms(TensorType type) throws IOException {
        for (Gelu gelu : Gelu.values()) {
            ModelShape shape = new ModelShape(
                    3, 72, 3, 100, 300, 21, 10, 12345.5, 1e-6, false, gelu, 1);
            byte[] bytes = HubConfig.of(shape, 5, -1).encode(type);
            HubConfig read = read(new String(bytes, StandardCharsets.UTF_8));
            assertThat(read.shape()).isEqualTo(shape);
            assertThat(read.bosToken()).isEqualTo(5);
            assertThat(read.eosToken()).isEqualTo(-1);
            JsonNode keys = HubConfig.JSON.readTree(bytes);
            assertThat(keys.get("dtype")).isEqualTo(keys.get("torch_dtype"));
            assertThat(keys.get("rope_parameters").get("partial_rotary_factor"))
                    .isEqualTo(keys.get("rotary_pct"));
            assertThat(keys.get("attention_bias").booleanValue()).isTrue();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 10, 24, 49, 80, 96, 128, 257})
    void theRotaryFractionGivesBackTheDimensions(int headDimension) {
        for (int dimensions = 0; dimensions <= headDimension; dimensions += 2) {
            double fraction = HubConfig.rotaryFraction(headDimension, dimensions);
            assertThat((int) (headDimension * fraction)).isEqualTo(dimensions);
            assertThat(fraction).isLessThanOrEqualTo(1);
        }
    }
}
