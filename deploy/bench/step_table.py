"""Training steps of Castalia and of PyTorch in turns, and the table of their ratios.

Needs a Python with torch and transformers (--python); Castalia does not. For comparison by hand.

    python3 deploy/bench/step_table.py --python PYTHON [--models 14m,70m,160m] [--dtypes fp32,bf16]
        [--threads 2 | 2,1] [--pairs 2] [--steps 3] [--peers eager,eager-tuned,compile,compile-tuned]
        [--minutes 40] [--out step_table]

A pair is one run of each peer and of Castalia, the next pair in the opposite order; compiled peers run in the
first pair alone, since most of their time is compilation. Times are medians of a run's steps, the table has
medians over pairs. Tuned: the allocator keeps memory instead of giving it back to the system, on huge pages.

Every run is a line of OUT.jsonl; the same command goes on where it was stopped, and runs again only what failed
(--fresh begins anew). After --minutes no further run is begun. At the end OUT.md has the tables and OUT.json
all of it. What failed is `not run`, with its reason below the table. torch.compile needs g++.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CASTALIA = str(HERE.parent.parent / "castalia")
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "34359738368",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
PEERS = {"eager": (False, False), "eager-tuned": (False, True),
         "compile": (True, False), "compile-tuned": (True, True)}
OURS = "castalia"
CEILING = "ceiling"
RUN_SECONDS = 900


def numbers(text):
    return [int(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--models", default="14m,70m,160m", type=lambda text: text.split(","))
    parser.add_argument("--dtypes", default="fp32,bf16", type=lambda text: text.split(","))
    parser.add_argument("--threads", default="2", type=numbers)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), type=lambda text: text.split(","))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--out", default="step_table", type=pathlib.Path)
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    unknown = set(options.peers) - set(PEERS)
    if unknown:
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return options


def command(options, name, model, dtype, threads):
    """What is run, and what is added to its environment."""
    common = ["--model", f"pythia-{model}", "--dtype", dtype, "--threads", str(threads)]
    if name == CEILING:
        return [CASTALIA, "bench", "kernels", *common, "--warmup", "1", "--steps", "1", "--json"], {}
    if name == OURS:
        warmup = 8 if model == "14m" else 3
        return [CASTALIA, "bench", "step", *common, "--warmup", str(warmup),
                "--steps", str(options.steps), "--json"], {}
    compiled, tuned = PEERS[name]
    return [options.python, str(HERE / "pytorch_step.py"), *common, "--warmup", "2",
            "--iters", str(options.steps), *(["--compile"] if compiled else [])], TUNED if tuned else {}


def run(words, extra):
    """What a command printed last, as JSON; or why there is nothing."""
    try:
        done = subprocess.run(words, env={**os.environ, **extra}, capture_output=True, text=True,
                              timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {RUN_SECONDS} s"}
    except OSError as error:
        return {"failed": str(error)}
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": lines[-1][:200] if lines else f"exit code {done.returncode}"}
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"failed": "no JSON line at the end of its output"}


def plan(options):
    """Every run as (threads, model, dtype, name, pair), in order."""
    for threads in options.threads:
        for dtype in options.dtypes:
            yield threads, options.models[0], dtype, CEILING, 0
        for model in options.models:
            for dtype in options.dtypes:
                for pair in range(options.pairs):
                    names = [name for name in options.peers if pair == 0 or not PEERS[name][0]]
                    names.insert(len(names) // 2, OURS)
                    for name in names if pair % 2 == 0 else names[::-1]:
                        yield threads, model, dtype, name, pair


def known(path):
    """By key what earlier runs left."""
    results = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off while it was written
            results[tuple(entry["key"])] = entry
    return results


def measure(options, path):
    results = known(path)
    end = time.monotonic() + 60 * options.minutes
    with path.open("a") as lines:
        for key in plan(options):
            if key in results and "failed" not in results[key]["result"]:
                continue
            threads, model, dtype, name, _ = key
            words, extra = command(options, name, model, dtype, threads)
            if time.monotonic() > end:
                results[key] = {"result": {"failed": f"{options.minutes:g} minutes were over"}}
                continue
            result = run(words, extra)
            entry = {"key": key, "date": datetime.datetime.now().isoformat(timespec="seconds"),
                     "load": round(os.getloadavg()[0], 1), "command": words, "environment": extra,
                     "result": result}
            lines.write(json.dumps(entry) + "\n")
            lines.flush()
            results[key] = entry
            said = (f"failed: {result['failed']}" if "failed" in result
                    else f"{result['step_s']:.3f} s, load {entry['load']}")
            print(f"{threads} threads, {model} {dtype}, {name}: {said}", file=sys.stderr, flush=True)
    return results


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} processors"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors"


def summary(options, results, threads, model, dtype):
    """One row: seconds and bytes by name, and why what is missing was not run."""
    seconds, peak, missing = {}, {}, {}
    for name in [OURS, *options.peers]:
        found = [results[key]["result"] for key in plan(options)
                 if key[:4] == (threads, model, dtype, name) and key in results]
        good = [result for result in found if "failed" not in result]
        if good:
            seconds[name] = statistics.median(result["step_s"] for result in good)
            peak[name] = max(result["peak_bytes"] for result in good)
            if name == OURS:
                gflops = statistics.median(result["gflops"] for result in good)
        else:
            missing[name] = found[0]["failed"] if found else "not begun"
    row = {"threads": threads, "model": model, "dtype": dtype, "step_s": seconds, "peak_bytes": peak,
           "not_run": missing}
    if OURS in seconds:
        ours = seconds[OURS]
        tuned = [seconds[name] for name in seconds if name.endswith("-tuned")]
        row["against_tuned"] = round(min(tuned) / ours, 3) if tuned else None
        row["against_default"] = round(seconds["eager"] / ours, 3) if "eager" in seconds else None
        row["memory"] = round(peak[OURS] / peak["eager"], 3) if "eager" in peak else None
        ceiling = results.get((threads, options.models[0], dtype, CEILING, 0), {}).get("result", {})
        if "ceiling_gflops" in ceiling:
            row["ceiling_gflops"] = ceiling["ceiling_gflops"]
            row["ceiling_share"] = round(gflops / ceiling["ceiling_gflops"], 3)
    return row


def table(options, rows):
    lines = ["| model | Castalia | " + " | ".join(options.peers)
             + " | against the faster tuned | against eager, default | peak memory, of eager's default"
             + " | of the fastest product |",
             "| " + " | ".join("---" for _ in range(6 + len(options.peers))) + " |"]
    for row in rows:
        def cell(value, form):
            return "-" if value is None else format(value, form)
        cells = [f"{row['model']} {row['dtype']}"]
        cells += [f"{row['step_s'][name]:.3f}" if name in row["step_s"] else "not run"
                  for name in [OURS, *options.peers]]
        cells += [cell(row.get("against_tuned"), ".2f"), cell(row.get("against_default"), ".2f")]
        cells += [f"{row['peak_bytes'].get(OURS, 0) / 1e9:.2f} GB, {row['memory']:.2f}"
                  if row.get("memory") else "-"]
        cells += [f"{row['ceiling_share']:.0%} of {row['ceiling_gflops']:.0f} GFLOP/s"
                  if "ceiling_share" in row else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    reasons = sorted({f"{name}: {why}" for row in rows for name, why in row["not_run"].items()})
    return lines + [""] + [f"Not run: {reason}" for reason in reasons]


def main():
    options = arguments()
    path = options.out.with_suffix(".jsonl")
    if options.fresh and path.exists():
        path.unlink()
    results = measure(options, path)
    today = datetime.date.today().isoformat()
    text, rows = [], []
    for threads in options.threads:
        part = [summary(options, results, threads, model, dtype)
                for model in options.models for dtype in options.dtypes]
        rows += part
        text += [f"**{today}, {processor()}, {threads} thread{'s' * (threads > 1)}**, seconds of the median step of"
                 f" 1 x 2048 tokens, medians of {options.pairs} pairs:", "", *table(options, part), ""]
    shown = {(name, len(extra)): shlex.join([f"{k}={v}" for k, v in extra.items()] + words)
             for name in [OURS, *options.peers] for words, extra in
             [command(options, name, options.models[-1], options.dtypes[0], options.threads[0])]}
    text += ["Commands, for one row:", "", *("    " + line.replace(str(HERE.parent.parent) + "/", "")
                                            for line in shown.values())]
    options.out.with_suffix(".md").write_text("\n".join(text) + "\n")
    options.out.with_suffix(".json").write_text(json.dumps(
        {"date": today, "processor": processor(), "pairs": options.pairs, "steps": options.steps,
         "commands": list(shown.values()), "rows": rows}, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
