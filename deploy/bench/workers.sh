#!/bin/bash
# How much faster two one-thread workers train than one: three pairs, alternating, on an otherwise idle machine.
# Prints tokens/s (median over steps 31 to 60, when the JVMs have compiled what they run) of each run and the ratio of
# the medians.
# usage: deploy/bench/workers.sh [FOLDER]    FOLDER: a new folder for the runs (default: one in .castalia/bench)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$root/.castalia/bench/workers-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$folder"
cat > "$folder/run.yml" <<'YAML'
{
  "num-layers": 6, "hidden-size": 128, "num-attention-heads": 4, "seq-length": 256, "max-position-embeddings": 2048,
  "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": true, "gpt-j-residual": true,
  "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}},
  "min_lr": 0.0001, "lr-decay-style": "cosine", "warmup": 0.01, "weight-decay": 0.1, "gradient_clipping": 1.0,
  "train_micro_batch_size_per_gpu": 4, "train-iters": 60, "lr-decay-iters": 60, "checkpoint-factor": 1000,
  "castalia": {"global-batch": 32, "virtual-ranks": 4, "vocabulary": 4096, "precision": "fp32", "synthetic-data": true}
}
YAML
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
rate() { # rate RUN: tokens/s of its steps
  sed -n 's/^{"step":\([0-9]*\),"loss".*"tokens_per_s":\([0-9.E]*\),.*/\1 \2/p' "$1/metrics.jsonl" |
    awk '$1 >= 30 { print $2 }' | median
}
for pair in 1 2 3; do
  for workers in 1 2; do
    run=$folder/pair$pair-workers$workers
    "$root/castalia" train --config "$folder/run.yml" --run "$run" --local $workers --threads 1 > "$run.log" 2>&1
    printf '%d %s\n' $workers "$(rate "$run")" | tee -a "$folder/rates" | sed 's/^\([0-9]\) /workers \1: tokens\/s /'
  done
done
one=$(sed -n 's/^1 //p' "$folder/rates" | median)
two=$(sed -n 's/^2 //p' "$folder/rates" | median)
awk -v a="$one" -v b="$two" 'BEGIN { printf "median 1 worker %.0f tokens/s, 2 workers %.0f tokens/s, ratio %.2f\n", a, b, b / a }'
