"""Finding and replacing the hyperparameters of a transformation, through every chain and wrapper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nablax.core._base import Wrapper
from nablax.core._chain import label_of
from nablax.core._leafwise import Leafwise


def _walk(tx: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tx, Leafwise):
        for name, value in tx.spec.hyperparams.items():
            if value is not None:
                yield f"{path}/{name}", value
    elif isinstance(tx, Wrapper):
        for label, child in tx.children.items():
            yield from _walk(child, f"{path}/{label}".lstrip("/"))


def hyperparams(tx: Any) -> dict[str, Any]:
    """The numbers and schedules of a transformation, by path.

    Args:
      tx: a transformation; parts of other libraries keep theirs to themselves.

    Returns:
      `{"scale_by_adam/b1": 0.9, ...}` in the order of the chain.

    Example:
      >>> from nablax.transforms import clip, scale
      >>> from nablax.core import chain
      >>> hyperparams(chain(clip(1.0), scale(-0.1)))
      {'clip/max_delta': 1.0, 'scale/step_size': -0.1}
    """
    return dict(_walk(tx, label_of(tx)))


def current_values(tx: Any, state: Any) -> dict[str, Any]:
    """The value that the next update will use for each hyperparameter, schedules evaluated at their counts.

    Args:
      tx: a transformation.
      state: its state.

    Returns:
      A dict by the paths of `hyperparams(tx)`; a schedule inside a wrapper that hides its states is left out.
    """
    return dict(_walk_values(tx, state, label_of(tx)))


def _walk_values(tx: Any, state: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tx, Leafwise):
        state = state.inner_state if tx.spec.mask and state is not None else state
        for name, value in tx.spec.hyperparams.items():
            if callable(value):
                value = value(state.count) if "count" in getattr(state, "_fields", ()) else None
            if value is not None:
                yield f"{path}/{name}", value
    elif isinstance(tx, Wrapper):
        states = tx.states(state) if tx.states and state is not None else {}
        for label, child in tx.children.items():
            yield from _walk_values(child, states.get(label), f"{path}/{label}".lstrip("/"))


def with_hyperparams(tx: Any, values: Mapping[str, Any]) -> Any:
    """The same transformation, its state unchanged, with other hyperparameters.

    Args:
      tx: a transformation.
      values: new numbers (traced ones too) or schedules, by the paths of `hyperparams(tx)`.

    Raises:
      KeyError: a path that `tx` does not have; the message lists those it has.
    """
    known = hyperparams(tx)
    for path in values:
        if path not in known:
            raise KeyError(f"with_hyperparams: no hyperparameter {path!r}; there are {', '.join(known)}.")
    return _rebuild(tx, values, label_of(tx))


def _rebuild(tx: Any, values: Mapping[str, Any], path: str) -> Any:
    if isinstance(tx, Leafwise):
        new = {k: values.get(f"{path}/{k}", v) for k, v in tx.spec.hyperparams.items()}
        return tx.replace(hyperparams=new)
    if isinstance(tx, Wrapper):
        return tx.rebuild(
            {k: _rebuild(child, values, f"{path}/{k}".lstrip("/")) for k, child in tx.children.items()}
        )
    return tx


def resolve(name: str, paths: Iterable[str]) -> str:
    """The one path that a name means: the whole path, or parts of it in order, ending with its last.

    Args:
      name: `"adamw/learning_rate"`, or just `"learning_rate"` where only one part has it.
      paths: those of `hyperparams(tx)`.

    Raises:
      KeyError: none fits, or several do; the message lists them.
    """
    paths = list(paths)
    if name in paths:
        return name
    fits = [path for path in paths if _abbreviates(name.split("/"), path.split("/"))]
    if len(fits) != 1:
        what = f"is ambiguous: {', '.join(fits)}" if fits else f"is none of {', '.join(paths)}"
        raise KeyError(f"hyperparameter {name!r} {what}.")
    return fits[0]


def _abbreviates(short: list[str], path: list[str]) -> bool:
    rest = iter(path)
    return short[-1] == path[-1] and all(part in rest for part in short)
