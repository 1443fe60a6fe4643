"""What every benchmark shares: interleaved timing, medians, and a table of ratios.

Peers take turns, round after round in changing order, so that whatever else the machine does, and whatever a peer
leaves behind in caches and memory, meets all of them alike.
"""

from __future__ import annotations

import argparse
import gc
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax


def arguments(description: str, parts: Sequence[str] = ()) -> argparse.Namespace:
    """The command line of a benchmark: `--quick` is a smoke check in seconds, `--rounds` the turns of each peer, and
    `--only` a list of its `parts`, if it has some."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: a smoke check")
    parser.add_argument("--rounds", type=int, default=None, help="turns of each peer")
    parser.add_argument(
        "--only", default="", help=f"some of its parts, separated by commas: {' '.join(parts)}"
    )
    args = parser.parse_args()
    args.only = [name for name in args.only.split(",") if name]
    if unknown := sorted({*args.only} - {*parts}):
        parser.error(f"--only: there is no {', '.join(unknown)}; allowed are {', '.join(parts) or 'none'}")
    return args


def seconds(fn: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes until its arrays are there."""
    start = clock()
    jax.block_until_ready(fn())
    return clock() - start


def medians(
    peers: Mapping[str, Callable[[], Any]],
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The median seconds of a call of each peer, taken in turns.

    Args:
      peers: what to call, by name; each call's arrays are waited for.
      rounds: turns.
      warmup: turns that do not count.
      clock: what tells the time; `time.process_time` counts what the processors spent, on a machine that is busy.
    """
    taken: dict[str, list[float]] = {name: [] for name in peers}
    order, shuffle = list(peers), random.Random(0).shuffle
    gc.collect()
    for turn in range(warmup + rounds):
        shuffle(order)
        for name in order:
            spent = seconds(peers[name], clock)
            if turn >= warmup:
                taken[name].append(spent)
    return {name: statistics.median(values) for name, values in taken.items()}


def milliseconds(value: float) -> str:
    """A duration in ms with three digits."""
    return f"{1e3 * value:.3g} ms"


def times(ratio: float) -> str:
    """A ratio with its sign: `2.31x`."""
    return f"{ratio:.2f}x"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n### {title}\n")
    for i, row in enumerate([header, *rows]):
        print("| " + " | ".join(str(cell).ljust(w) for cell, w in zip(row, widths, strict=True)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def where() -> str:
    """The machine and versions, for the line under a table."""
    import numpy

    return (
        f"{jax.devices()[0].platform}, {len(jax.devices())} device, {platform.machine()}, Python "
        f"{platform.python_version()}, jax {jax.__version__}, numpy {numpy.__version__}"
    )
