"""The supervisor behind `nablax launch`: one command in several processes, all of them anew when one dies.

A lost process takes the others down with it, and Python cannot catch that: what can be done is to start all again, and
that takes somebody outside. This file is that somebody, run as a script of its own; it imports the standard library
alone, so it holds a few megabytes while the others train.

    supervisor ──┬─▶ rank 0 ─▶ its children      each rank leads a session and a process group of its own
                 ├─▶ rank 1 ─▶ ...
                 └─▶ keeper                      kills what is left of the groups if the supervisor itself is killed
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

_TICK = 0.02  # seconds between two looks at the ranks
_TAIL = 20  # lines of a rank's errors that are kept
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
_OUT = threading.Lock()


class Keeper:
    """A process that waits for the supervisor's end, and kills the groups it was told of and not told to forget."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writing)
            os.setsid()  # a Ctrl-C is not for it
            _keep(reading)
            os._exit(0)
        os.close(reading)

    def tell(self, what: str, group: int) -> None:
        """`+` for a group to kill, `-` for one that is gone."""
        os.write(self._writing, f"{what}{group}\n".encode())

    def close(self) -> None:
        os.close(self._writing)
        os.waitpid(self._pid, 0)


def _keep(reading: int) -> None:
    groups: set[int] = set()
    with os.fdopen(reading) as lines:
        for line in lines:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        _kill(group, signal.SIGKILL)


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Rank:
    """One of the processes, and what it says: passed on with its number before each line."""

    def __init__(self, command: list[str], index: int, env: dict[str, str], keeper: Keeper):
        self.index, self._keeper = index, keeper
        self.errors: collections.deque[str] = collections.deque(maxlen=_TAIL)
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        keeper.tell("+", self.process.pid)
        self._pumps = [
            threading.Thread(target=self._pump, args=ends, daemon=True)
            for ends in (
                (self.process.stdout, sys.stdout, None),
                (self.process.stderr, sys.stderr, self.errors),
            )
        ]
        for pump in self._pumps:
            pump.start()

    def _pump(self, pipe: BinaryIO, out: Any, kept: collections.deque[str] | None) -> None:
        for line in pipe:
            if kept is not None:
                kept.append(line.decode(errors="replace").rstrip("\n"))
            with _OUT, contextlib.suppress(OSError, ValueError):  # whoever read us may be gone
                out.buffer.write(b"[%d] " % self.index + line)
                out.buffer.flush()

    @property
    def code(self) -> int | None:
        """The exit code, 128 + n after signal n; None while it runs."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def signal(self, number: int) -> None:
        """Sends a signal to the process and its children."""
        _kill(self.process.pid, number)

    def end(self) -> None:
        """Kills what is left of the group and waits for the last lines."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        for pump in self._pumps:
            pump.join(timeout=1)
        self._keeper.tell("-", self.process.pid)

    def fate(self) -> str:
        code = self.process.returncode
        if code < 0:
            return f"rank {self.index} was killed by {signal.Signals(-code).name}"
        return f"rank {self.index} ended with exit code {code}"


class Signals:
    """The signals that came: those that stop are passed on once, and a second one kills."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self.stopped_by = 0
        for number in (*_STOPPING, *_PASSED_ON):
            signal.signal(number, lambda number, frame: self._came.append(number))

    def handle(self, ranks: list[Rank]) -> None:
        while self._came:
            number = self._came.pop(0)
            hard = number in _STOPPING and self.stopped_by
            for rank in ranks:
                if rank.code is None:
                    rank.signal(signal.SIGKILL if hard else number)
            if number in _STOPPING:
                self.stopped_by = self.stopped_by or number


def _attempt(
    given: argparse.Namespace, restart: int, signals: Signals, keeper: Keeper
) -> tuple[Rank | None, list[str]]:
    """Runs all ranks once: the first that failed, or None, and the last words of all. Nothing is left of any."""
    address = f"127.0.0.1:{_free_port()}"
    env = {
        "NABLAX_COORDINATOR": address,
        "NABLAX_PROCESSES": str(given.processes),
        "NABLAX_RESTART": str(restart),
        "JAX_COORDINATOR_BIND_ADDRESS": address,  # nobody else's machine can reach it
    }
    ranks: list[Rank] = []
    failed: Rank | None = None
    try:
        for i in range(given.processes):
            mine = range(i * given.devices, (i + 1) * given.devices)
            own = {"NABLAX_PROCESS": str(i), "JAX_LOCAL_DEVICE_IDS": ",".join(map(str, mine))}
            ranks.append(Rank(given.command, i, {**env, **own}, keeper))
        deadline = float("inf")
        while any(rank.code is None for rank in ranks) and time.monotonic() < deadline:
            signals.handle(ranks)
            failed = failed or next((rank for rank in ranks if rank.code), None)
            if failed is not None and deadline == float("inf"):  # the others wait for it in vain
                deadline = time.monotonic() + given.grace
                for rank in ranks:
                    if rank.code is None:
                        rank.signal(signal.SIGTERM)
            time.sleep(_TICK)
        failed = failed or next((rank for rank in ranks if rank.code), None)
    finally:
        for rank in ranks:
            rank.end()
    return failed, list(_last_words(ranks))


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _last_words(ranks: list[Rank]) -> Iterator[str]:
    for rank in ranks:
        yield rank.fate() + (":" if rank.errors else "")
        yield from (f"    {line}" for line in rank.errors)


def _say(*lines: str) -> None:
    with contextlib.suppress(OSError):
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Runs the command line; the exit code is 0, that of the rank that failed first, or 128 + n after signal n."""
    given = _parsed(arguments)
    given.command = [sys.executable, *given.command]
    keeper = Keeper()
    signals = Signals()
    restart = 0
    try:
        while True:
            failed, words = _attempt(given, restart, signals, keeper)
            if failed is None:
                return 0
            if signals.stopped_by:
                return 128 + signals.stopped_by
            if restart == given.restarts:
                _say(
                    f"nablax launch: {failed.fate()}; gave up after {restart} restarts. The ranks' last errors:"
                )
                _say(*words)
                return failed.code or 1
            restart += 1
            _say(f"nablax launch: {failed.fate()}; restart {restart} of {given.restarts}")
    finally:
        keeper.close()


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nablax launch",
        usage="nablax launch [--processes N] [--restarts K] [--devices D] [--grace S] -- script ...",
        description="Run a script in several processes on this machine; when one dies, end the others and start all "
        "again. The script finds the others by nablax.distributed.initialize() and continues from its checkpoint.",
    )
    parser.add_argument("--processes", type=_count(1), default=1, metavar="N", help="how many (default 1)")
    parser.add_argument(
        "--restarts", type=_count(0), default=0, metavar="K", help="start again so many times (default 0)"
    )
    parser.add_argument(
        "--devices", type=_count(1), default=1, metavar="D", help="GPUs that each process gets (default 1)"
    )
    parser.add_argument(
        "--grace", type=float, default=2.0, metavar="S",
        help="seconds between SIGTERM and SIGKILL for the others when one has died (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- script ...",
        help="what Python gets: a script and its arguments, or -m module and its arguments",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.command[:1] == ["--"]:
        del given.command[0]
    if not given.command:
        parser.error("no script was given: nablax launch --processes N -- script ...")
    return given


def _count(least: int) -> Any:
    def check(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
        return int(text)

    return check


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
