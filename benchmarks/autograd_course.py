"""The programs of a course on deep learning, written with nablax.autograd and with torch: from the first step on.

python benchmarks/autograd_course.py                      an hour or more while much is compiled, needs torch
python benchmarks/autograd_course.py --only gan,mlp_adam  some of them
python benchmarks/autograd_course.py --quick              a smoke check

Each program runs in a fresh process for each library, on one core, the libraries in alternating order; nothing that was
compiled before is there. The programs are in benchmarks/course.

    first 20         seconds of the first 20 steps together          at most 2 of torch's, median 1.2
    longest          the longest step after the first three          at most 0.25 s, or 3 of torch's
    steady           median of the steps from the 101st on           at most 1 of torch's, median 0.6
    compiled         programs compiled after the 100th step          0
    sequences        200 sequences of random lengths, all of it      at most 1.5 of torch's
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from course import PROGRAMS
from harness import table, times, where

HERE = Path(__file__).parent
PEERS = ("nablax", "torch")
GRACE = 20.0  # seconds for importing and building, and for noticing that the limit has passed
SEQUENCES = ("rnn_lengths", "attention_lengths")


def run(
    program: str, library: str, steps: int, limit: float, small: bool, kept: str = "off", tier: str = "auto"
) -> dict[str, Any]:
    """One program with one library, in a process of its own: seconds, compilations and losses of its steps.

    kept: the folder of compiled programs.
    """
    command = [
        sys.executable,
        "-m",
        "course.run",
        program,
        library,
        "--steps",
        str(steps),
        "--limit",
        str(limit),
        "--tier",
        tier,
    ]
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    environment["JAX_PLATFORMS"] = "cpu"
    environment["NABLAX_DISK_CACHE"] = kept
    if small:
        command.append("--small")
    stopped = False
    try:
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, timeout=limit + GRACE)
        out, error = done.stdout, done.stderr.decode() if done.returncode else ""
    except subprocess.TimeoutExpired as expired:
        out, error, stopped = expired.stdout or b"", "", True
    lines = [line.split() for line in out.decode().splitlines() if line.count(" ") == 2]
    if error:
        print(f"{program}, {library}, failed:\n{error}", file=sys.stderr)
    return {
        "seconds": [float(line[0]) for line in lines],
        "compilations": [int(line[1]) for line in lines],
        "losses": [float(line[2]) for line in lines],
        "note": "failed" if error else "limit" if stopped or len(lines) < steps else "",
    }


def measures(found: dict[str, Any], steps: int) -> dict[str, float]:
    """The numbers of one run; NaN for what it did not reach."""
    seconds, made = found["seconds"], found["compilations"]
    late = min(100, steps // 2)
    reached = len(seconds) > late
    return {
        "first": sum(seconds[:20]) if len(seconds) >= 20 else math.nan,
        "longest": max(seconds[3:], default=math.nan),
        "steady": statistics.median(seconds[late:]) if reached else math.nan,
        "compiled": made[-1] - made[late - 1] if reached else math.nan,
        "all": sum(seconds) if len(seconds) == steps else math.nan,
    }


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each number over the rounds, NaN if one of them is."""
    return {
        k: math.nan if any(math.isnan(r[k]) for r in runs) else statistics.median(r[k] for r in runs)
        for k in runs[0]
    }


def apart(a: list[float], b: list[float]) -> float:
    """The largest relative difference of the first ten losses."""
    return max((abs(x - y) / (abs(y) + 1e-3) for x, y in zip(a[:10], b[:10], strict=False)), default=math.nan)


def duration(value: float) -> str:
    if math.isnan(value):
        return "-"
    return (
        f"{value:.2f} s"
        if value >= 1
        else f"{1e3 * value:.3g} ms"
        if value >= 1e-3
        else f"{1e6 * value:.0f} us"
    )


def ratio(value: float) -> str:
    return "-" if math.isnan(value) else times(value)


def row(name: str, result: dict[str, Any]) -> list[str]:
    ours, torch = result["nablax"], result["torch"]
    cells = [name]
    for key in ("first", "longest", "steady"):
        cells += [duration(torch[key]), duration(ours[key]), ratio(ours[key] / torch[key])]
    cells.append("-" if math.isnan(ours["compiled"]) else f"{ours['compiled']:.0f}")
    cells.append(f"{result['apart']:.0e}")
    return [*cells, result["note"]]


def summary(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """For each goal: median, geometric mean and worst of the ratios, and how many programs meet it."""

    def line(name: str, values: list[float], met: list[bool], each: str, median_goal: str) -> list[str]:
        known = [v for v in values if not math.isnan(v)]
        if not known:
            return [name, "-", "-", "-", f"0 of {len(values)}", each, median_goal]
        mean = math.exp(statistics.fmean(math.log(v) for v in known))
        worst = "unknown" if len(known) < len(values) else times(max(known))
        shown = [
            times(statistics.median(v if not math.isnan(v) else math.inf for v in values)),
            times(mean),
            worst,
        ]
        return [name, *shown, f"{sum(met)} of {len(met)}", each, median_goal]

    every = [(r["nablax"], r["torch"]) for r in results.values()]
    first = [a["first"] / b["first"] for a, b in every]
    longest = [a["longest"] / b["longest"] for a, b in every]
    calm = [
        not math.isnan(a["steady"]) and (a["longest"] <= 0.25 or a["longest"] <= 3 * b["longest"])
        for a, b in every
    ]
    steady = [a["steady"] / b["steady"] for a, b in every]
    sequences = [results[k]["nablax"]["all"] / results[k]["torch"]["all"] for k in SEQUENCES if k in results]
    settled = sum(a["compiled"] == 0 for a, _ in every)
    return [
        line("first 20 steps", first, [v <= 2 for v in first], "2x", "1.2x"),
        line("longest step after three", longest, calm, "0.25 s or 3x", ""),
        line("steady state", steady, [v <= 1 for v in steady], "1x", "0.6x"),
        line("sequences of random lengths", sequences, [v <= 1.5 for v in sequences], "1.5x", ""),
        ["nothing compiled after step 100", "", "", "", f"{settled} of {len(every)}", "0", ""],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--steps", type=int, default=200, help="steps of each program")
    parser.add_argument("--rounds", type=int, default=1, help="fresh processes for each program and library")
    parser.add_argument("--limit", type=float, default=100.0, help="seconds after which a program is stopped")
    parser.add_argument("--quick", action="store_true", help="small sizes, few steps: a smoke check")
    parser.add_argument("--json", metavar="FILE", help="also write every step's time and loss")
    parser.add_argument("--list", action="store_true", help="print the names of the programs")
    args = parser.parse_args()
    if args.list:
        print("\n".join(PROGRAMS))
        return
    names = [n for n in args.only.split(",") if n] or list(PROGRAMS)
    if unknown := [n for n in names if n not in PROGRAMS]:
        parser.error(f"--only: no program is called {', '.join(unknown)}; --list prints the names")
    steps = min(args.steps, 24) if args.quick else args.steps
    results: dict[str, dict[str, Any]] = {}
    raw: dict[str, list[dict[str, Any]]] = {}
    turn = 0
    for name in names:
        raw[name] = []
        for _ in range(args.rounds):
            order = PEERS if turn % 2 else PEERS[::-1]
            raw[name].append({peer: run(name, peer, steps, args.limit, args.quick) for peer in order})
            turn += 1
        results[name] = {peer: middle([measures(r[peer], steps) for r in raw[name]]) for peer in PEERS}
        results[name]["apart"] = apart(*(raw[name][0][peer]["losses"] for peer in PEERS))
        noted = {f"{peer}: {r[peer]['note']}, {len(r[peer]['seconds'])} steps"
                 for r in raw[name] for peer in PEERS if r[peer]["note"]}  # fmt: skip
        results[name]["note"] = "; ".join(sorted(noted))
        print(" | ".join(row(name, results[name])), file=sys.stderr, flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps({"steps": steps, "programs": raw}))
    header = ["program", "first 20: torch", "nablax", "ratio", "longest: torch", "nablax", "ratio",
              "steady: torch", "nablax", "ratio", "compiled", "loss apart", "note"]  # fmt: skip
    table("Programs of a course, one core, fresh processes", header, [row(n, results[n]) for n in names])
    sequences = [
        [n, *(duration(results[n][p]["all"]) for p in ("torch", "nablax")),
         ratio(results[n]["nablax"]["all"] / results[n]["torch"]["all"])]
        for n in names if n in SEQUENCES
    ]  # fmt: skip
    if sequences:
        table(
            f"{steps} sequences of random lengths 5 to 60, all of it",
            ["", "torch", "nablax", "ratio"],
            sequences,
        )
    table(
        "Goals",
        [
            "ratio to torch",
            "median",
            "geometric mean",
            "worst",
            "programs that meet it",
            "goal of each",
            "of the median",
        ],
        summary(results),
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
