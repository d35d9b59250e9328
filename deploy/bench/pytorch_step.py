"""Times training steps of a Pythia model in PyTorch, the way `castalia bench step` does; one JSON line.

Needs torch and transformers. For comparison by hand: nothing of Castalia runs or tests this file.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import transformers

SIZES = {  # layers, hidden size, heads; vocabulary padded as published
    "pythia-14m": (6, 128, 4, 50304),
    "pythia-70m": (6, 512, 8, 50304),
    "pythia-160m": (12, 768, 12, 50304),
}


def build(name, sequence):
    layers, hidden, heads, vocabulary = SIZES[name]
    config = transformers.GPTNeoXConfig(
        num_hidden_layers=layers, hidden_size=hidden, intermediate_size=4 * hidden,
        num_attention_heads=heads, vocab_size=vocabulary, max_position_embeddings=max(2048, sequence),
        rotary_pct=0.25, hidden_act="gelu", use_parallel_residual=True, tie_word_embeddings=False,
        attn_implementation="sdpa", use_cache=False)
    return transformers.GPTNeoXForCausalLM(config).train()


def step(model, forward, optimizer, tokens, mixed):
    marks = [time.perf_counter()]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        loss = forward(input_ids=tokens, labels=tokens).loss
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    marks.append(time.perf_counter())
    return [after - before for before, after in zip(marks, marks[1:])]


def operations(model, batch, sequence):
    """Six per token and parameter outside the input embedding, and half of attention's full square."""
    config = model.config
    inside = sum(p.numel() for p in model.parameters()) - config.vocab_size * config.hidden_size
    attention = config.num_hidden_layers * config.hidden_size * sequence
    return 6 * batch * sequence * (inside + attention)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=SIZES, required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seq", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iters", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(1234)
    torch.set_num_threads(options.threads)
    model = build(options.model, options.seq)
    forward = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    tokens = torch.randint(0, model.config.vocab_size, (options.batch, options.seq))
    times = [step(model, forward, optimizer, tokens, options.dtype == "bf16")
             for _ in range(options.warmup + options.iters)]
    times = times[options.warmup:]
    median = statistics.median(sum(parts) for parts in times)
    forward, backward, update = (statistics.median(column) for column in zip(*times))
    print(json.dumps({
        "model": options.model, "dtype": options.dtype, "seq": options.seq, "batch": options.batch,
        "threads": options.threads, "steps": options.iters, "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokens_per_s": round(options.batch * options.seq / median, 1), "step_s": round(median, 4),
        "forward_s": round(forward, 4), "backward_s": round(backward, 4),
        "optimizer_s": round(update, 4),
        "gflops": round(operations(model, options.batch, options.seq) / median * 1e-9, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameters": sum(p.numel() for p in model.parameters())}))


if __name__ == "__main__":
    main()
