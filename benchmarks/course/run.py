"""Runs one program with one library and prints a line for each step: seconds, compilations so far, loss.

python -m course.run mlp_adam nablax --steps 200

The process stays on one core, and imports only the library it was asked for. It ends after `--limit` seconds, in the
middle of the program if need be: the lines until then are there.
"""

from __future__ import annotations

import argparse
import os
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("library", choices=["nablax", "torch"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--limit", type=float, default=100.0)
    parser.add_argument("--tier", default="auto", help="of nablax")
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()

    from course import LIBRARIES, PROGRAMS, warmed

    made = _compilations(args.library, args.tier)
    library = warmed(LIBRARIES[args.library]())
    step = PROGRAMS[args.program](library, args.small)
    begin = time.perf_counter()
    for i in range(args.steps):
        start = time.perf_counter()
        loss = step(i)
        end = time.perf_counter()
        print(f"{end - start:.9f} {made()} {loss:.9g}", flush=True)
        if end - begin > args.limit:
            break


def _compilations(library: str, tier: str):
    """How many programs were compiled so far."""
    if library == "torch":
        import torch

        torch.set_num_threads(1)
        return lambda: 0
    from nablax import autograd

    autograd.tiers(tier)

    def made() -> int:
        info = autograd.cache_info()
        return info.compilations

    return made


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # before a library counts the cores
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
