"""Training steps of Castalia and of PyTorch in turns, and the table of their ratios.

Needs a Python with torch and transformers (--python); Castalia does not. For comparison by hand.

    python3 deploy/bench/step_table.py --python PYTHON [--models 14m,70m,160m] [--dtypes fp32,bf16]
                                       [--threads 2] [--pairs 2] [--steps 3]
                                       [--peers eager,eager-tuned,compile,compile-tuned]

A pair is one run of each peer and of Castalia. Times are medians of a run's steps, the table has medians
over pairs. Tuned: the allocator keeps memory instead of giving it back to the system, on huge pages.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "34359738368",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def run(command, extra):
    done = subprocess.run(command, env={**os.environ, **extra}, capture_output=True, text=True,
                          timeout=3600)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def engines(options):
    """By name the command of a model and type, and what is added to its environment."""
    def torch(*more):
        return lambda model, dtype: [
            options.python, str(HERE / "pytorch_step.py"), "--model", f"pythia-{model}", "--dtype", dtype,
            "--threads", str(options.threads), "--iters", str(options.steps), "--warmup", "2", *more]

    def castalia(model, dtype):
        return [str(HERE.parent.parent / "castalia"), "bench", "step", "--model", f"pythia-{model}",
                "--dtype", dtype, "--threads", str(options.threads), "--steps", str(options.steps),
                "--warmup", str(8 if model == "14m" else 3), "--json"]

    peers = {"eager": (torch(), {}), "eager-tuned": (torch(), TUNED),
             "compile": (torch("--compile"), {}), "compile-tuned": (torch("--compile"), TUNED)}
    return {name: peers[name] for name in options.peers.split(",")} | {"castalia": (castalia, {})}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--models", default="14m,70m,160m")
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peers", default="eager,eager-tuned,compile,compile-tuned")
    options = parser.parse_args()

    by_name = engines(options)
    print(f"{datetime.date.today()}, {options.threads} threads, {options.pairs} pairs")
    for model in options.models.split(","):
        for dtype in options.dtypes.split(","):
            results = {name: [] for name in by_name}
            for _ in range(options.pairs):
                for name, (command, extra) in by_name.items():
                    result = run(command(model, dtype), extra)
                    results[name].append(result)
                    print(f"  {model} {dtype} {name}: {result['step_s']:.3f} s,"
                          f" {result['peak_bytes'] / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}",
                          file=sys.stderr, flush=True)
            seconds = {name: statistics.median(r["step_s"] for r in each) for name, each in results.items()}
            peak = {name: max(r["peak_bytes"] for r in each) for name, each in results.items()}
            ours = seconds["castalia"]
            cells = [f"{seconds[name]:.3f}" for name in by_name]
            cells += [f"{seconds[name] / ours:.2f}" for name in by_name if name != "castalia"]
            cells += [f"{peak[name] / 1e9:.2f}" for name in by_name]
            print(f"| {model} {dtype} | {' | '.join(cells)} |", flush=True)
    print(f"columns: seconds a step of {', '.join(by_name)}; ratios to Castalia's; peak memory in GB")


if __name__ == "__main__":
    main()
