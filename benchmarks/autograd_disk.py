"""What compiled programs on disk save the second process: programs of the course with and without them.

python benchmarks/autograd_disk.py                  about two minutes
python benchmarks/autograd_disk.py --only char_rnn

Each process is fresh, on one core. With: the folder holds what a process before has compiled. In tiers, the default,
nothing waits for the compiler, so it saves the compiler's share of the core; with everything compiled the first time it
saves the wait.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

from autograd_course import duration, run
from harness import table, times, where

PROGRAMS = ("char_rnn", "mlp_adam")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PROGRAMS), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="small sizes, few steps: a smoke check")
    args = parser.parse_args()
    rounds, steps = (1, 24) if args.quick else (args.rounds, args.steps)
    rows = []
    for name in args.only.split(","):
        for tier in ("auto", "compiled"):
            with tempfile.TemporaryDirectory() as folder:
                run(name, "nablax", steps, 100.0, args.quick, folder, tier)
                found: dict[str, list] = {"off": [], folder: []}
                for _ in range(rounds):
                    for kept, runs in found.items():
                        runs.append(run(name, "nablax", steps, 100.0, args.quick, kept, tier)["seconds"])
            for what, upto in (("first 20 steps", 20), (f"{steps} steps", steps)):
                without, with_ = (statistics.median(sum(r[:upto]) for r in runs) for runs in found.values())
                rows.append([name, tier, what, duration(without), duration(with_), times(with_ / without)])
    table(
        "The second process, without and with the first one's programs on disk",
        ["program", "tiers", "", "without", "with", "ratio"],
        rows,
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
