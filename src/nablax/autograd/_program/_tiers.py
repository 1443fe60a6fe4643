"""Tiers: when a program stops being run operation by operation and is compiled.

A program that was seen `start` times is handed to a thread that compiles (XLA lets others run meanwhile); at its run
number `count` the compiled program takes over. Both numbers follow from the program alone, never from the clock: the
tiers differ in last digits, and a program that is run again gives the same digits again. In the rare case that the
compiler is not done at run `count`, that run waits for it.
"""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal

from .._ground._disk import at_first
from .._ground._quiet import quietly
from .._ground._settings import now, under
from ._compiler import compiler
from ._notice import Notice

Tier = Literal["auto", "compiled", "interpreted", "eager-switch"]
_TIERS = ("auto", "compiled", "interpreted", "eager-switch")
NEVER = 1 << 62

# Seconds; only their ratios matter, and those hardly depend on the machine.
# First tier, for each call and each element that is made; a compiled program, for each element.
_FIRST_CALL, _FIRST_ELEMENT, _COMPILED_ELEMENT = 2.5e-6, 1.0e-9, 0.3e-9
# The same on one core, which XLA has for itself no more than NumPy has.
_ALONE = 1.0e-6, 0.36e-9, 0.18e-9
_COMPILED, _CROSSING = 50e-6, 3e-6  # a call, an array across its border
_COMPILE, _COMPILE_CALL = 0.15, 0.0025  # compiling, and for each call in the program
_WORTH = 1.5  # how much slower the first tier must be
SETTLED = 24  # runs before anything is compiled


class Settings:
    """tier: see `tiers`."""

    tier: Tier = "auto"
    interpreted = False


settings = Settings()


def schedule(calls: int, elements: int, crossing: int) -> tuple[int, int]:
    """The runs at which a program goes to the compiler, and at which its compiled form takes over.

    Args:
      calls: of the first tier.  elements: elements of all arrays that it makes.  crossing: arrays in and out.
    """
    alone = _cores() == 1
    call, element, of_compiled = _ALONE if alone else (_FIRST_CALL, _FIRST_ELEMENT, _COMPILED_ELEMENT)
    first = calls * call + elements * element
    compiled = _COMPILED + crossing * _CROSSING + elements * of_compiled
    if first <= _WORTH * compiled:
        return NEVER, NEVER
    compiling = _COMPILE + calls * _COMPILE_CALL
    paid = int(compiling / first)  # runs that take as long as compiling
    if alone:
        # The compiler takes its time from them: it begins when they have lost half as much as it will cost.
        start = max(SETTLED, int(compiling / (first - compiled)) // 2)
        return start, start + max(8, 5 * paid // 4)
    start = max(SETTLED, paid // 2)
    return start, start + max(8, 2 * paid)


@functools.cache
def _cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Hot:
    """One program on its way from the first tier to a compiled one.

    build: compiles, and returns what is called instead.  notice: what is said where somebody waits for that.
    """

    __slots__ = (
        "_done",
        "_settings",
        "_warned",
        "build",
        "count",
        "error",
        "made",
        "notice",
        "runs",
        "start",
        "use",
    )

    def __init__(
        self, build: Callable[[bool], Any], start: int, count: int, notice: Notice | None = None
    ) -> None:
        self.build = build
        self.notice = notice or Notice(0)
        self.start = start
        self.count = count
        self.runs = 0
        self.made: Any = None  # the compiled program, from when it exists
        self.use: Any = None  # the same, from when it takes over
        self.error: BaseException | None = None
        self._done: threading.Event | None = None
        self._settings = now()  # of JAX, under which it runs
        self._warned = False

    def ready(self) -> Any:
        """The compiled program, if it is its turn; None for the first tier. Counts a run."""
        self.runs += 1
        tier = settings.tier
        if tier == "interpreted":
            return None
        if self.use is not None:
            return self.use
        if tier == "compiled":
            return self.now()
        if self.error is not None:
            return self._failed()
        if self.runs < self.start:
            return None
        if self._done is None and self.made is None:
            compiler.add(self)
        if self.runs < self.count and not (tier == "eager-switch" and self.made is not None):
            return None
        return self._take()

    def rests(self) -> bool:
        """Whether nothing is to be decided at the next run: it is one more of the first tier."""
        if settings.interpreted:
            return True
        if settings.tier != "auto" or self.use is not None or self.error is not None:
            return False
        after = self.runs + 1
        return after < self.start or (after < self.count and self._done is not None)

    def now(self) -> Any:
        """The compiled program, compiled here if it is not there: when it is called for the first time."""
        if self.use is None:
            if self.made is None:
                self.made = self.use = self.build(False)
                return self.notice.first(at_first(self.use))
            self.use = self.made
        return self.use

    def _take(self) -> Any:
        done = self._done
        if self.made is None and done is not None:
            self.notice.during(done.wait)
        if self.made is None and self.error is None:
            return self.now()  # it fell out of the queue
        if self.error is not None:
            return self._failed()
        self.use = self.made
        return self.use

    def _failed(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"nablax.autograd: a program could not be compiled and stays in the first tier: {self.error}",
                RuntimeWarning,
                stacklevel=2,
            )

    # -- what the compiler's thread calls -----------------------------------------------------------------------------

    def queued(self) -> None:
        self._done = threading.Event()
        self._settings = now()

    def dropped(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.set()

    def compile(self) -> None:
        """Compile; an exception is kept for `ready`."""
        try:
            if self.made is None:
                with under(self._settings):
                    self.made = quietly(self.build, True)
        except Exception as error:
            self.error = error
        if self._done is not None:
            self._done.set()


class tiers:
    """Set how programs are run; as a context, only inside it.

    Args:
      tier: "auto", the default: what is new runs at once, operation by operation; what comes often is compiled beside
        it and takes over at a run that follows from the program alone, so that every run of a script gives the same
        digits. "eager-switch": it takes over as soon as it is compiled. "compiled": everything is compiled the first
        time. "interpreted": nothing is.

    Raises:
      ValueError: any other tier.

    >>> from nablax import autograd
    >>> with autograd.tiers("compiled"):
    ...     autograd.tensor([1., 2.]).exp().sum()
    tensor(10.107338)
    >>> autograd.tiers("auto")
    tiers('auto')
    """

    def __init__(self, tier: Tier) -> None:
        if tier not in _TIERS:
            raise ValueError(f"tiers: tier must be one of {', '.join(map(repr, _TIERS))}, got {tier!r}.")
        self._now = tier
        self._before = settings.tier
        _set(tier)

    def __enter__(self) -> tiers:
        return self

    def __exit__(self, *error: object) -> None:
        _set(self._before)

    def __repr__(self) -> str:
        return f"tiers({self._now!r})"


def _set(tier: Tier) -> None:
    settings.tier = tier
    settings.interpreted = tier == "interpreted"


def wait() -> None:
    """Wait until everything that is due is compiled, and let it take over from here on: for measurements."""
    for hot in compiler.drain():
        if hot.made is not None:
            hot.use = hot.made
