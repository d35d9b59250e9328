package castalia.deploy.train;

import castalia.deploy.configuration.DataTransform;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.workers.data.BatchSource;
import castalia.workers.data.DataException;
import castalia.workers.data.IdTransform;
import castalia.workers.data.TokenTransform;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.TransformedBatches;
import castalia.workers.data.WordTransform;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The changes a run makes to its training data, with the tokenizer they need. */
final class RunTransforms implements AutoCloseable {
    private final List<TokenTransform> transforms;
    private final Optional<Tokenizer> tokenizer;

    private RunTransforms(List<TokenTransform> transforms, Optional<Tokenizer> tokenizer) {
        this.transforms = List.copyOf(transforms);
        this.tokenizer = tokenizer;
    }

    /**
     * Opens what a configuration asks for.
     *
     * @param working where relative paths start
     * @throws DataException if the tokenizer or an id does not fit
     */
    static RunTransforms open(TrainingConfiguration configuration, Path working) {
        List<DataTransform> asked = configuration.transforms();
        boolean words = asked.stream().anyMatch(DataTransform.Words.class::isInstance);
        Optional<Tokenizer> tokenizer = words
                ? Optional.of(Tokenizer.load(
                        working.resolve(configuration.tokenizer().orElseThrow())))
                : Optional.empty();
        int vocabulary = configuration.plan().model().vocabulary();
        List<TokenTransform> transforms = new ArrayList<>();
        try {
            for (DataTransform one : asked) {
                transforms.add(switch (one) {
                    case DataTransform.Words(var from, var to, var map) -> new WordTransform(
                            from, to, map, tokenizer.orElseThrow(), vocabulary);
                    case DataTransform.Tokens(var from, var to, var map) ->
                        new IdTransform(from, to, map, vocabulary);
                });
            }
        } catch (RuntimeException e) {
            tokenizer.ifPresent(Tokenizer::close);
            throw e;
        }
        return new RunTransforms(transforms, tokenizer);
    }

    /** A source with the changes applied; the source itself where there are none. */
    BatchSource over(BatchSource source) {
        return transforms.isEmpty() ? source : new TransformedBatches(source, transforms);
    }

    @Override
    public void close() {
        tokenizer.ifPresent(Tokenizer::close);
    }
}
