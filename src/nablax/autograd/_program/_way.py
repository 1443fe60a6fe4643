"""What is decided once about a way back through a program that the first tier ran."""

from __future__ import annotations

from typing import Any


class Way:
    """The way back from some outputs to the sources that they depend on, through what the first tier left.

    outputs: from where.  wants: numbers of these targets.  mask: slots that the gradient flows through.  whole: whether
    nothing is left of the graph when it was freed.  hot: of the compiled way.  pull: of the first tier.
    """

    __slots__ = ("hot", "mask", "outputs", "pull", "wants", "whole")

    def __init__(self, program: Any, outputs: tuple[int, ...]) -> None:
        self.outputs = outputs
        self.wants = program.wants(outputs)
        self.mask = 0
        for k in outputs:
            self.mask |= program.masks[k]
        self.whole = all(mask & self.mask for mask in program.masks)
        self.hot = program.pulling(outputs, self.wants, (False,) * len(self.wants))
        self.pull = program.sweep(
            [program.roots[k] for k in outputs], [program.targets[i] for i in self.wants]
        )
