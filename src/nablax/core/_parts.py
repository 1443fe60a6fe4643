"""The parts of a transformation: who works on which leaves of the parameters, and what parts and leaves are called.

A name is made of the names of the calls, as those of hyperparameters are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax

from nablax.core._chain import Chain, label_of
from nablax.core._hyperparams import takes_transformations
from nablax.core._kinds import ARRAYS, TRANSFORMATION, refusing
from nablax.core._rule import Rule
from nablax.core._value import Call, body_of, call_of

KeyPath = tuple[Any, ...]


class Part(NamedTuple):
    """One rule, or what a wrapper does itself.

    Attributes:
      path: where the call that it belongs to stands, as in the paths of hyperparameters; "" for the root.
      label: its own name among the parts of that call.
      body: what it does; None for transformations of other libraries.
      state: its own state, without those of parts inside it.
      leaves: of the parameters that it works on, their names, in a tree as the part sees it; None where nobody asked.
      group: the labels of the partitions on the way to it, "" without any.
      shown: the call that a reader would name: `adamw`, not the part `scale_by_adam` of it; "" for a part that
        only hands on.
    """

    path: str
    label: str
    body: Any
    state: Any
    leaves: Any
    group: str
    shown: str


def join(*parts: str) -> str:
    """The parts of a path with "/" between them; empty ones are left out."""
    return "/".join(part for part in parts if part)


def path_name(path: KeyPath) -> str:
    """Keys, fields and indices from the root, joined by "/"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def unique(names: Iterable[str]) -> list[str]:
    """The names; one that comes again gets a number: `w`, `w_1`."""
    taken: set[str] = set()
    out = []
    for name in names:
        new, i = name, 0
        while new in taken:
            i += 1
            new = f"{name}_{i}"
        taken.add(new)
        out.append(new)
    return out


def leaf_names(tree: Any) -> list[str]:
    """A name for each leaf, in order: its path, `layers/0/kernel`. No two are equal.

    Example:
      >>> leaf_names({"layers": [{"kernel": 1.0, "bias": 2.0}]})
      ['layers/0/bias', 'layers/0/kernel']
    """
    return unique(path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree))


@refusing(tx=TRANSFORMATION, params=ARRAYS)
def parts(tx: Any, params: Any, state: Any = None) -> list[Part]:
    """The parts of a transformation.

    Args:
      tx: a transformation.
      params: tree of arrays or `jax.ShapeDtypeStruct`; masks and labels are asked on their shapes. None: no part
        knows its leaves.
      state: its state, or a tree of that structure; None: no part knows its own.
    """
    if params is None:
        return list(_walk(tx, state, None, None, "", "", "", ""))
    found: list[Part] = []

    def walk(shapes: Any) -> None:
        names = jax.tree.unflatten(jax.tree.structure(shapes), leaf_names(shapes))
        found.extend(_walk(tx, state, shapes, names, "", "", "", ""))

    jax.eval_shape(walk, params)
    return found


def _walk(
    tx: Any, state: Any, params: Any, names: Any, path: str, label: str, group: str, shown: str
) -> Iterator[Part]:
    call, body = call_of(tx), body_of(tx)
    if call is None:
        yield Part(path, label, None, state, names, group, shown or tx.init.__module__.partition(".")[0])
        return
    if not path:
        path = label_of(tx)
    if not shown and not takes_transformations(call):
        shown = label_of(tx)
    if isinstance(body, Rule):
        if body.mask is not None:
            names = None if names is None else body.mask.hide(names, body.mask.tree(params))
            state = getattr(state, "inner_state", state)
        if body.keeps_name:
            path = join(path, _argument(call))
        yield Part(path, label, body, state, names, group, shown or body.name)
        return
    children: dict[str, Any] = dict(body.children)  # type: ignore[union-attr]
    states: dict[str, Any] = {} if state is None else dict(body.states(state))  # type: ignore[union-attr]
    seen: Any = getattr(body, "seen", None)
    if not isinstance(body, Chain):
        own = _without(state, states)
        only_hands_on = seen is not None and not jax.tree.leaves(own)
        yield Part(path, label, body, own, names, group, "" if only_hands_on else shown or call.name)
    hidden = isinstance(body, Chain) and (shown != "" or call.name not in ("chain", "named_chain"))
    know = seen is not None and params is not None
    their_params = seen(params, params) if know else dict.fromkeys(children, params)
    their_names = seen(params, names) if know else dict.fromkeys(children, names)
    for name, child in children.items():
        unnamed = hidden or call_of(child) is None
        yield from _walk(
            child, states.get(name), their_params.get(name), their_names.get(name),
            path if unnamed else join(path, name),
            join(label, name) if unnamed else "",
            join(group, name) if seen is not None and len(children) > 1 else group,
            shown,
        )  # fmt: skip


def _argument(call: Call) -> str:
    """The name of the argument that is a transformation."""
    return next((name for name, value in call.arguments.items() if call_of(value) is not None), "")


def _without(state: Any, states: dict[str, Any]) -> Any:
    """A state with None in the place of each leaf of others that stand in it."""
    theirs = set(map(id, jax.tree.leaves(list(states.values()))))
    return jax.tree.map(lambda x: None if id(x) in theirs else x, state)
