package castalia.deploy.model;

import castalia.checkpoints.hub.CastReport;
import castalia.checkpoints.hub.HubExport;
import castalia.checkpoints.hub.TensorType;
import castalia.deploy.shell.Storage;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.Tokenizer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.OptionalLong;
import java.util.SequencedMap;

/** A run's checkpoint as a Hugging Face GPTNeoX folder. */
public final class ModelExport {

    private ModelExport() {}

    /**
     * Writes it.
     *
     * @param step the checkpoint, or the newest
     * @param target the new folder
     * @param dtype fp32, bf16 or fp16
     */
    public static CastReport write(Path run, OptionalLong step, Path target, String dtype) {
        TensorType type = switch (dtype) {
            case "fp32" -> TensorType.F32;
            case "bf16" -> TensorType.BF16;
            case "fp16" -> TensorType.F16;
            default -> throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--dtype " + dtype + " is none of fp32, bf16, fp16");
        };
        try (StoredModel model = StoredModel.open(run, step)) {
            SequencedMap<String, Path> companions = new LinkedHashMap<>();
            int end = 0;
            if (model.tokenizer().isPresent()) {
                companions.put(TrainingJob.TOKENIZER, model.tokenizer().get());
                try (Tokenizer tokenizer = Tokenizer.load(model.tokenizer().get())) {
                    end = tokenizer.endOfDocument();
                }
            }
            HubExport.Options options = new HubExport.Options(
                    type, HubExport.Options.DEFAULT_SHARD_BYTES, end, end, companions);
            return Storage.attempt(
                    () -> HubExport.write(target, model.layout(), model.weights(), options));
        }
    }
}
