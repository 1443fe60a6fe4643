"""Recordings that take another turn each time: the nodes of a tree, the words of a decoder.

A recording is worth learning whole if it comes again. Where nearly all that start at one line leave what is known, each
would be one program more, made for a single run; so these run in pieces. A recording that wanders ends where it would
take a turn that was not met often, and the operation starts the next one, where it is known. What is met often becomes
part of a longer piece.

Which recordings wander follows from the program alone, as everything does that decides what runs.
"""

from __future__ import annotations

from typing import Any

from .._ground._bounded import Bounded

# Recordings before any of them wanders; when there are twice as many, the first ones count for less.
SETTLED = 16
ASTRAY = 3  # one slot in so many is new where recordings wander
LEARNED, IN_A_ROW = 8, 4  # times that a turn is met before it becomes part of a piece
MOST_TURNS = 1024  # remembered


class Habit:
    """Of the recordings that start at one root.

    runs: how many there were.  slots: of all of them.  wanders: whether they run in pieces.
    """

    __slots__ = ("_last", "_met", "_new", "_row", "runs", "slots", "wanders")

    def __init__(self) -> None:
        self.runs = self.slots = self._new = 0
        self.wanders = False
        self._met: Bounded | None = None
        self._last: Any = None  # the turn met last, and how many times in a row
        self._row = 0

    def turned(self, new: int) -> bool:
        """A recording ends of which so many slots were new; whether those after it wander from here on."""
        self._new += new
        if self.wanders or self.runs < SETTLED:
            return False
        self.wanders = ASTRAY * self._new > self.slots
        if self.runs >= 2 * SETTLED:
            self.runs, self.slots, self._new = self.runs // 2, self.slots // 2, self._new // 2
        return self.wanders

    def learns(self, turn: Any) -> bool:
        """Whether a turn has been met often enough to be taken; counts it."""
        if self._met is None:
            self._met = Bounded(MOST_TURNS)
        self._row = self._row + 1 if turn == self._last else 1
        self._last = turn
        met = self._met.get(turn, 0) + 1
        if met >= LEARNED or self._row >= IN_A_ROW:
            self._met.pop(turn, None)
            return True
        self._met[turn] = met
        return False
