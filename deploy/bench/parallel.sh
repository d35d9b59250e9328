#!/bin/bash
# What exchanges and a fixed order of sums cost, on an otherwise idle machine of 2 cores; about 15 minutes:
#   1. collectives of the data plane beside plain loops over the same sockets, and the exchange of votes;
#   2. communication that no computation hides, in steps of pythia-70m on 2 and 4 one-thread worker processes;
#   3. a fixed order of sums beside the order of arrival, and 4 and 8 tensor slices beside one.
# usage: deploy/bench/parallel.sh [FOLDER]    FOLDER: a new folder for the runs (default: one in .castalia/bench)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$root/.castalia/bench/parallel-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$folder"
cat > "$folder/run.yml" <<'YAML'
{
  "num-layers": 6, "hidden-size": 512, "num-attention-heads": 8, "seq-length": 512, "max-position-embeddings": 2048,
  "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": true, "gpt-j-residual": true,
  "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}},
  "min_lr": 0.0001, "lr-decay-style": "cosine", "warmup": 0.01, "weight-decay": 0.1, "gradient_clipping": 1.0,
  "train_micro_batch_size_per_gpu": 1, "train-iters": 9, "lr-decay-iters": 9, "checkpoint-factor": 1000,
  "castalia": {"global-batch": 4, "virtual-ranks": 4, "vocabulary": 50304, "precision": "fp32", "synthetic-data": true}
}
YAML
printf '%s, %s\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" "load $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"

"$root/castalia" bench collective --json 2> "$folder/collective.log" | tee "$folder/collective.out" | grep -v '^{'

for workers in 2 4; do
  run=$folder/workers$workers
  "$root/castalia" train --config "$folder/run.yml" --run "$run" --local $workers --threads 1 > "$run.log" 2>&1
  sed -n 's/^{"step":\([0-9]*\),"loss".*"step_s":\([^,]*\),.*"exposed_s":\([^,]*\),.*/\1 \2 \3/p' "$run/metrics.jsonl" |
    awk '$1 >= 3 { printf "%.3f %.3f\n", $3, $2 }' | sort -n |
    awk -v w=$workers '{ e[NR] = $1; s[NR] = $2 }
      END { m = int((NR + 1) / 2)
        printf "pythia-70m, 4 x 512 tokens, %d workers: %.3f s exposed communication in a step of %.3f s%s\n", w, e[m],
          s[m], (w > 2 ? " (more workers than 2 cores)" : "") }'
done

"$root/castalia" bench determinism --pairs 4 --json 2> "$folder/determinism.log" | tee "$folder/determinism.out" |
  grep -v '^{'
