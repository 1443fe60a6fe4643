"""`CheckpointManager`: saves a run step by step, keeps what is wanted, and finds the newest step after a crash."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from nablax.core import PATH, ArgumentError, check_number
from nablax.distributed import exchange, process
from nablax.runtime._checkpoints._content import content_of, put_back
from nablax.runtime._checkpoints._files import Files
from nablax.runtime._checkpoints._folder import path_of, remove, steps_in

_WHO = "CheckpointManager"


class CheckpointManager:
    """Checkpoints of a run in one folder, `step-12` and so on.

    A step appears when all of it is on the disk: a process that is killed in the midst of a save, or a disk that is
    full, leaves the steps that were there. In our files each array has a checksum; nothing is ever unpickled.

    With several processes each makes a manager of the same folder, on a file system that all of them see, and all call
    `save` and `restore` together: each writes the parts of arrays that its devices hold, and process 0 puts the step in
    its place when all are done. A step can be restored onto other devices and by another number of processes.

    Args:
      folder: it is made when something is saved.
      keep: how many of the newest steps stay; None keeps all.
      every: `save` passes over steps that are no multiple of it.
      best: which step stays beside the newest: `("loss", "min")` or `("accuracy", "max")`, by the metrics that `save`
        is given, or a function of these metrics, whose largest value is the best. NaN is never the best.
      backend: "files", safetensors files that `nablax.load` and `Optimizer.load` read as well; or "orbax"
        (`pip install 'nablax[checkpoint]'`), which goes on writing while training does.

    Raises:
      HyperparameterError: keep or every below 1.
      ArgumentError: another best or backend.

    Example:
      >>> import tempfile
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import adam
      >>> from nablax.runtime import Optimizer
      >>> opt = Optimizer(adam(0.1), {"w": jnp.ones(2)})
      >>> manager = CheckpointManager(tempfile.mkdtemp(), keep=2)
      >>> for step in range(1, 5):
      ...     params = opt.step({"w": 2 * opt.params["w"]})
      ...     saved = manager.save(step, opt)
      >>> manager.all_steps()
      [3, 4]
      >>> manager.restore(Optimizer(adam(0.1), {"w": jnp.zeros(2)})).metrics["steps"]
      4
    """

    def __init__(
        self,
        folder: Any,
        *,
        keep: int | None = 3,
        every: int = 1,
        best: tuple[str, str] | Callable[[dict[str, float]], Any] | None = None,
        backend: str = "files",
    ):
        PATH(_WHO, "folder", folder)
        check_number(_WHO, "keep", keep, 1, integer=True, optional=True)
        check_number(_WHO, "every", every, 1, integer=True)
        self._folder = os.path.abspath(os.fspath(folder))
        self._keep, self._every, self._score = keep, int(every), _score(best)
        self._backend = _backend(backend)(self._folder)
        self._metrics: dict[int, dict[str, float]] = {}

    def save(self, step: int, opt: Any, metrics: Mapping[str, Any] | None = None) -> bool:
        """Writes a step, then removes those that are no longer kept.

        Args:
          step: its number, from 0.
          opt: an `Optimizer`, or a tree as `nablax.save` takes it.
          metrics: numbers to keep with it; `best` chooses by them.

        Returns:
          Whether it was written; False where `every` passes over it.

        Raises:
          FileExistsError: the step is there already, or another writer was first; that one stays.
          OSError: it cannot be written, such as on a full disk; what was there before still is.
          ArgumentError: metrics that are no numbers, or none where `best` needs one; a tree that cannot be saved.
        """
        check_number(f"{_WHO}.save", "step", step, 0, integer=True)
        step = int(step)
        if step % self._every:
            return False
        numbers = _numbers(metrics or {})
        self._check_scored(numbers)
        self._backend.write(step, content_of(f"{_WHO}.save", opt), {k: v.hex() for k, v in numbers.items()})
        self._metrics[step] = numbers
        self._prune()
        return True

    def restore(self, opt: Any, step: int | None = None) -> Any:
        """Goes on from a step, to the last digit.

        Args:
          opt: an `Optimizer`, made as the one that was saved; it takes everything over. Or a tree with the structure,
            shapes and dtypes that are expected, `jax.ShapeDtypeStruct` (with shardings) for arrays being enough.
          step: which one; None is the newest. Should that be damaged, the error says so, and an earlier one can be
            asked for: nothing is passed over silently. A run that goes back for good deletes the later steps, which
            would still count as the newest.

        Returns:
          The `Optimizer` itself, or a new tree, whose arrays lie as those of `opt` do.

        Raises:
          FileNotFoundError: there is no such step.
          FileError: a file is missing, truncated or altered; the message names it. An `Optimizer` stays as it was.
          StructureError: what was saved does not fit.
        """
        said = exchange(str(self.latest_step() if step is None else step))[0]  # all read what process 0 sees
        steps = self.all_steps()
        if said == "None" or int(said) not in steps:
            what = "no step" if said == "None" else f"no step {said}"
            raise FileNotFoundError(f"{_WHO}.restore: {self._folder} has {what}; it has {steps}.")
        with self._backend.reading(int(said), content_of(f"{_WHO}.restore", opt)) as found:
            return put_back(opt, found, path_of(self._folder, int(said)))

    def latest_step(self) -> int | None:
        """The newest step; None in an empty folder."""
        return max(self.all_steps(), default=None)

    def best_step(self) -> int | None:
        """The best step of those that are there, the newer of equal ones; None where no step has a score.

        Raises:
          ArgumentError: `best` was not given.
        """
        if self._score is None:
            raise ArgumentError(f"{_WHO}.best_step: best was not given.")
        scores = {
            step: self._score(metrics) for step in self.all_steps() if (metrics := self._metrics_of(step))
        }
        known = [step for step, score in scores.items() if score == score]
        return max(known, key=lambda step: (scores[step], step), default=None)

    def all_steps(self) -> list[int]:
        """The steps that are there whole, in order."""
        return steps_in(self._folder)

    def delete(self, step: int) -> None:
        """Removes a step, such as a damaged one; of several processes, one calls it.

        Raises:
          FileNotFoundError: there is none.
        """
        remove(self._folder, step)

    def wait(self) -> None:
        """Waits until what was saved is on the disk; only a backend that writes beside the training needs it.

        Raises:
          OSError: it could not be written.
        """
        self._backend.wait()
        self._prune()

    def _check_scored(self, metrics: dict[str, float]) -> None:
        if (
            self._score is not None
            and math.isnan(self._score(metrics))
            and not any(map(math.isnan, metrics.values()))
        ):
            raise ArgumentError(f"{_WHO}.save: best needs metrics that it can choose by, got {metrics!r}.")

    def _metrics_of(self, step: int) -> dict[str, float]:
        if step not in self._metrics:
            self._metrics[step] = {k: float.fromhex(v) for k, v in self._backend.metrics(step).items()}
        return self._metrics[step]

    def _prune(self) -> None:
        steps = self.all_steps()
        old = [] if self._keep is None else steps[: -self._keep]
        if old and process()[0] == 0:
            best = None if self._score is None else self.best_step()
            for step in old:
                if step != best:
                    with contextlib.suppress(FileNotFoundError):  # another manager was first
                        remove(self._folder, step)
                    self._metrics.pop(step, None)


def _score(best: Any) -> Callable[[dict[str, float]], float] | None:
    """The function of the metrics whose largest value is the best; NaN where there is none."""
    if best is None or callable(best):
        return best
    if not (
        isinstance(best, tuple) and len(best) == 2 and isinstance(best[0], str) and best[1] in ("min", "max")
    ):
        raise ArgumentError(
            f"{_WHO}: best must be (name, 'min'), (name, 'max'), a function of the metrics or None, got {best!r}."
        )
    name, sign = best[0], -1.0 if best[1] == "min" else 1.0
    return lambda metrics: sign * metrics.get(name, math.nan)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    try:
        return {str(name): float(x) for name, x in metrics.items()}
    except (TypeError, ValueError, AttributeError) as e:
        raise ArgumentError(f"{_WHO}.save: metrics must be numbers by name, got {metrics!r}."[:300]) from e


def _backend(name: Any) -> Callable[[str], Any]:
    if name == "files":
        return Files
    if name == "orbax":
        from nablax.runtime._checkpoints._orbax import Orbax

        return Orbax
    raise ArgumentError(f"{_WHO}: backend must be 'files' or 'orbax', got {name!r}.")
