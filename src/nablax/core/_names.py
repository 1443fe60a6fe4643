"""Names of hyperparameters: which paths a short name or a pattern means."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from nablax.core._kinds import ITERABLE, WORD, refusing
from nablax.core._spelling import meant


@refusing(name=WORD, paths=ITERABLE)
def resolve(name: str, paths: Iterable[str], who: str = "hyperparameters") -> list[str]:
    """The paths that a name means.

    Args:
      name: a whole path; or parts of one in order, ending with its last, such as `"learning_rate"`, where they fit one
        path; or a pattern with `*`, which means every path that it matches.
      paths: those of `hyperparams(tx)`.
      who: speaks in errors.

    Raises:
      KeyError: nothing fits, or a name without `*` fits several; the message lists them.
    """
    paths = list(paths)
    if name in paths:
        return [name]
    if "*" in name:
        fits = [path for path in paths if fnmatch.fnmatchcase(path, name)]
    else:
        fits = [path for path in paths if _abbreviates(name.split("/"), path.split("/"))]
    if len(fits) == 1 or (fits and "*" in name):
        return fits
    if not fits:
        there = ", ".join(paths) if paths else "none (inject_hyperparams keeps its numbers in its state)"
        near = meant(name, [path.rpartition("/")[2] for path in paths])
        raise KeyError(f"{who}: {name!r} is none of them{near}; there are {there}.")
    last = name.rpartition("/")[2]
    raise KeyError(f"{who}: {name!r} is ambiguous: {', '.join(fits)}. '*/{last}' sets all of them.")


def _abbreviates(short: list[str], path: list[str]) -> bool:
    rest = iter(path)
    return short[-1] == path[-1] and all(part in rest for part in short)
