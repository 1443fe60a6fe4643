"""What an `Optimizer` owns: read, copied, described, written for a restart and read again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import PATH, copied
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._averages import averaged_params
from nablax.runtime._held import Arrangement, Held
from nablax.runtime._live import Hyperparams, Numbers
from nablax.runtime._modules import joined
from nablax.runtime._saving import (
    VERSION,
    Description,
    Report,
    describe,
    fitted,
    implementation,
    is_key,
    named,
    placed,
    read_state_dict,
    to_host,
    write_state_dict,
)
from nablax.runtime._sharding import Layout
from nablax.runtime._shield import Shield


class Owner:
    """The half of `Optimizer` that holds parameters and state; the other half steps them.

    All that changes with a step is one tuple in a list, so that one instruction exchanges it: `((leaves, params,
    report), steps, (numbers, arrangement))`. The leaves are those of a `Held`: state, and count of skipped steps or
    None. Params are None where they are tensors; the numbers are those of the last step.
    """

    tx: Any
    _place: list[tuple[Any, int, tuple[Any, Arrangement]]]
    _counter: Iterator[int]
    _view: Held
    _tensors: Any
    _rest: Any
    _packed: bool
    _shown: tuple[Any, Any]  # parameters as they are held, and as they are shown
    _layout: Layout | None
    _numbers: Numbers
    _live: Hyperparams
    _shield: Shield

    @property
    def _held(self) -> Held:
        (leaves, _, _), _, (_, arrangement) = self._place[0]
        view = self._view
        if view.leaves is not leaves:
            self._view = view = Held(arrangement, leaves)
        return view

    @property
    def _steps(self) -> int:
        return self._place[0][1]

    @property
    def params(self) -> Any:
        """The parameters: arrays, valid until the next step, or the tensors."""
        if self._tensors is not None:
            return self._tensors
        params = self._place[0][0][1]
        if not self._packed and self._rest is None:
            return params
        of, tree = self._shown
        if of is not params:
            self._shown = params, (tree := joined(self._tree(), self._rest))
        return tree

    def copy_params(self) -> Any:
        """The parameters as arrays of their own, which stay valid."""
        with self._shield:
            return joined(jax.tree.map(copied, self._tree()), self._rest)

    @property
    def state(self) -> Any:
        """The transformation's state; valid until the next step."""
        return self._held[0]

    @property
    def averaged_params(self) -> Any:
        """The average that `ema_params`, `swa` or `lawa` in the transformation keeps: arrays, at least float32. Where
        the parameters are a module, it is one."""
        return joined(averaged_params(self.state), self._rest)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a restart needs.

        Returns:
          `{"version", "arrays", "keys", "steps", "skipped_steps", "hyperparameters", "by_hand"}`: NumPy arrays by
          names such as `params/layers/0/kernel` and `adamw/mu/layers/0/kernel`; the generators of typed random keys;
          the hyperparameters by path, None where a schedule is followed; and the paths of those that were set by hand.
        """
        with self._shield:
            leaves, told = self._named(), self._told()
            return {
                **told,
                "arrays": {name: to_host(x) for name, x in leaves.items()},
                "keys": {name: implementation(x) for name, x in leaves.items() if is_key(x)},
            }

    def _named(self) -> dict[str, Any]:
        """The arrays of parameters and state by name."""
        return named(self.tx, self.state, self._arrays())

    def _told(self) -> dict[str, Any]:
        """What a state dict has beside arrays."""
        return {
            "version": VERSION,
            "steps": self._steps,
            "skipped_steps": self._skipped(),
            "hyperparameters": {k: None if v != v else v for k, v in self._live.values_now.items()},
            "by_hand": sorted(self._live.by_hand),
        }

    def load_state_dict(self, found: Mapping[str, Any], *, strict: bool = True) -> Report:
        """Continues from a `state_dict`, or from what `from_torch` or `from_optax` made of another library's.

        Arrays are found by name, so another order of a chain is no matter, and go where those of this optimizer are
        (devices, shardings). Parameters that are not in it stay as they are. A number takes the place of a schedule of
        this optimizer only if it was set by hand.

        Args:
          found: the state dict.
          strict: refuse what does not fit; False loads what does and keeps the rest, such as the fresh state of a leaf
            that is new.

        Returns:
          A `Report`: the names that were missing, extra or mismatched, and hyperparameters that this optimizer does not
          have.

        Raises:
          StructureError: another version; with strict, arrays that are missing, extra, or of another shape or dtype.
          HyperparameterError: a hyperparameter that the transformation refuses. This optimizer stays as it was.
        """
        with self._shield:
            held = (self._arrays(), self.state)
            mine = self._named()
            new, report = fitted(found, mine, strict, known=self._numbers.first)
            by_hand = frozenset(found.get("by_hand", ())) & set(self._numbers.first)
            numbers = self._live.candidate(found.get("hyperparameters", {}), by_hand)
            params, state = placed(new, mine, held)
            steps = int(found.get("steps", self._steps))
            counts = self._held[1] is not None
            skipped = self._count(int(found.get("skipped_steps", 0))) if counts else None
            (_, _, told), _, (last, _) = self._place[0]
            self._hold(params, state, skipped, steps, told, last)
            self._live.values_now, self._live.by_hand = numbers, by_hand
            if self._tensors is not None:
                tensors_of.assign(self._tensors, params)
        return report

    def save(self, path: Any) -> None:
        """Writes the state dict to one file, of the safetensors format: all of it, or nothing.

        Args:
          path: the file, `.safetensors` as a rule; an old one stays until the new one is complete on the disk.

        Raises:
          OSError: the file cannot be written.
        """
        PATH("Optimizer.save", "path", path)
        write_state_dict(path, self.state_dict())

    def load(self, path: Any, *, strict: bool = True) -> Report:
        """Continues from a file that `save` wrote, to the last digit; see `load_state_dict`.

        Raises:
          FileError: the file is truncated, altered, or of another format; the message names it.
          StructureError, HyperparameterError: as in `load_state_dict`.
        """
        PATH("Optimizer.load", "path", path)
        return self.load_state_dict(read_state_dict(path), strict=strict)

    def describe(self) -> Description:
        """Each parameter with its optimizer, group, weight decay and bytes of state; `print(opt.describe())`."""
        layout = self._layout
        if layout is None:
            return describe(self.tx, self._tree())
        return describe(self.tx, self._tree(), mesh=layout.mesh, axis=layout.axes)

    def _hold(self, params: Any, state: Any, skipped: Any, steps: int, report: Any, numbers: Any) -> None:
        """Holds what a step consumes; the values of tensors are theirs."""
        params = None if self._tensors is not None else params
        self._view = held = Held.of(state, skipped)
        self._counter = itertools.count(steps + 1)
        self._place[:] = [((held.leaves, params, report), steps, (numbers, held.arrangement))]

    def _count(self, value: int) -> jax.Array:
        count = jnp.asarray(value, jnp.int32)
        return count if self._layout is None else self._layout.everywhere(count)

    def _tree(self) -> Any:
        """The parameters as the user knows them, as arrays."""
        return self._arrays().tree if self._packed else self._arrays()

    def _arrays(self) -> Any:
        """The parameters as the transformation gets them."""
        return self._place[0][0][1] if self._tensors is None else tensors_of.arrays(self._tensors)

    def _skipped(self) -> int:
        skipped = self._held[1]
        return 0 if skipped is None else int(skipped)
