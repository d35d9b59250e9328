package castalia.workers.data;

import java.util.List;

/** The Hugging Face {@code tokenizer.json} of a byte-level BPE vocabulary. */
final class TokenizerJson {
    private TokenizerJson() {}

    static String write(BpeTrainer.Vocabulary vocabulary) {
        StringBuilder out = new StringBuilder(64 * vocabulary.tokens().size());
        out.append("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
        out.append("  \"added_tokens\": [\n");
        special(out, 0, BpeTrainer.END_OF_TEXT);
        out.append(",\n");
        special(out, 1, BpeTrainer.PADDING);
        out.append("\n  ],\n  \"normalizer\": null,\n");
        byteLevel(out, "pre_tokenizer");
        out.append("  \"post_processor\": null,\n");
        byteLevel(out, "decoder");
        out.append("  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n");
        out.append("    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n");
        out.append("    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n");
        out.append("    \"byte_fallback\": false,\n    \"vocab\": {\n");
        List<String> tokens = vocabulary.tokens();
        for (int id = 0; id < tokens.size(); id++) {
            out.append("      ");
            quoted(out, tokens.get(id));
            out.append(": ").append(id).append(id + 1 < tokens.size() ? ",\n" : "\n");
        }
        out.append("    },\n    \"merges\": [\n");
        List<String> merges = vocabulary.merges();
        for (int i = 0; i < merges.size(); i++) {
            out.append("      ");
            quoted(out, merges.get(i));
            out.append(i + 1 < merges.size() ? ",\n" : "\n");
        }
        return out.append("    ]\n  }\n}\n").toString();
    }

    private static void special(StringBuilder out, int id, String content) {
        out.append("    {\"id\": ").append(id).append(", \"content\": ");
        quoted(out, content);
        out.append(", \"single_word\": false, \"lstrip\": false, \"rstrip\": false,")
                .append(" \"normalized\": false, \"special\": true}");
    }

    private static void byteLevel(StringBuilder out, String key) {
        out.append("  \"").append(key).append("\": {\"type\": \"ByteLevel\",")
                .append(" \"add_prefix_space\": false, \"trim_offsets\": true,")
                .append(" \"use_regex\": true},\n");
    }

    /** All characters of the byte-level alphabet are printable; quote and backslash are escaped. */
    private static void quoted(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\');
            }
            out.append(c);
        }
        out.append('"');
    }
}
