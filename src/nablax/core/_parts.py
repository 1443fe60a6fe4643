"""The parts of a transformation: who works on which leaves of the parameters, and what each leaf of a state is called.

A name is made of the names of the calls, as those of hyperparameters are, of the field, and of the leaf's path:
`adamw/mu/layers/0/kernel`, beside `adamw/learning_rate`. So it outlives another order of a chain and another layout of
files. What a function puts together itself has no name of its own there; where two of its parts have a field of one
name, the later one speaks for itself: `adamw/count`, `adamw/scale_by_learning_rate/count`. States of other libraries go
by their classes: `ScaleByAdamState/mu/layers/0/kernel`.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax

from nablax.core._chain import Chain, label_of
from nablax.core._fields import Fields
from nablax.core._hyperparams import takes_transformations
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


class StateLeaf(NamedTuple):
    """A leaf of a state.

    Attributes:
      name: `adamw/mu/layers/0/kernel`; no two leaves of a state share one.
      field: `adamw/mu`.
      path: where its part's call stands: `adamw`.
      param: the name of the leaf of the parameters that it belongs to: `layers/0/kernel`; None for what belongs to all.
    """

    name: str
    field: str
    path: str
    param: str | None


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


class _Mark:
    """Stands for one leaf of a state."""

    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index


def state_leaves(tx: Any, state: Any, params: Any = None) -> list[StateLeaf]:
    """What each leaf of a state is called, and whom it belongs to, in the order of `jax.tree.leaves(state)`.

    Args:
      tx: the transformation.
      state: its state, of arrays or shapes.
      params: the parameters, or their shapes; without them no leaf knows its `param`.

    Example:
      >>> from nablax.core import count, fields, first_moment, leafwise
      >>> import jax.numpy as jnp
      >>> from typing import Any, NamedTuple
      >>> class Momentum(NamedTuple):
      ...     count: Any
      ...     mu: Any
      >>> def heavy_ball(g, mu):
      ...     return g + mu, g + mu
      >>> tx = leafwise(heavy_ball, fields(Momentum, count=count(), mu=first_moment()))
      >>> [leaf.name for leaf in state_leaves(tx, tx.init({"w": jnp.ones(2)}))]
      ['heavy_ball/count', 'heavy_ball/mu/w']
    """
    leaves, treedef = jax.tree.flatten(state)
    marks = jax.tree.unflatten(treedef, map(_Mark, range(len(leaves))))
    taken: dict[str, set[str]] = collections.defaultdict(set)  # by path, the fields that have a name there
    found: list[Any] = [None] * len(leaves)
    for part in parts(tx, params, marks):
        own = [(_steps(part, path), path, mark.index) for path, mark in _with_paths(part.state)]
        fields = {steps[0] for steps, _, _ in own if steps}
        prefix = join(part.path, part.label) if fields & taken[part.path] else part.path
        taken[part.path] |= fields
        where = _Places(part)
        for steps, path, index in own:
            start, param = where(path)
            field = join(prefix, *(_steps(part, path[:start]) or steps))
            found[index] = StateLeaf(join(prefix, *steps), field, part.path, param)
    names = unique(leaf.name for leaf in found)
    return [leaf._replace(name=name) for leaf, name in zip(found, names, strict=True)]


def _with_paths(tree: Any) -> Any:
    return jax.tree_util.tree_leaves_with_path(tree)


def _steps(part: Part, path: KeyPath) -> list[str]:
    """The steps of a leaf's name below its part."""
    if isinstance(part.body, Rule) or getattr(part.body, "children", None):
        return [path_name((key,)) for key in path]
    # Nothing is known of what stands inside: classes tell the links of a chain apart.
    steps: list[str] = []
    node, called = part.state, type(part.state).__name__ if part.body is None else ""
    for key in path:
        if hasattr(node, "_fields"):
            steps += [called, key.name]
            node, called = getattr(node, key.name), ""
        elif isinstance(node, tuple | list):
            called = unique(type(child).__name__ for child in node)[key.idx]
            node = node[key.idx]
            steps += [] if hasattr(node, "_fields") else [str(key.idx)]
        else:
            steps.append(path_name((key,)))
            node = (
                node[key.key] if hasattr(key, "key") else getattr(node, str(getattr(key, "name", "")), None)
            )
            called = ""
    return [step for step in steps if step]


class _Places:
    """Finds the leaf of the parameters that a leaf of a part's state belongs to: the one whose path is in its path."""

    def __init__(self, part: Part):
        self._known = {} if part.leaves is None else dict(_with_paths(part.leaves))
        roles = getattr(part.body, "first_state", None)
        self._roles = roles.roles if isinstance(roles, Fields) else {}

    def __call__(self, path: KeyPath) -> tuple[int, str | None]:
        """Where the path of the parameter begins, and its name; the end and None without one."""
        role = self._roles.get(getattr(path[0], "name", "")) if path else None
        if role is None or role.per_leaf:
            spans = ((start, end) for end in range(len(path), -1, -1) for start in range(end + 1))
            for start, end in spans:
                if path[start:end] in self._known:
                    return start, self._known[path[start:end]]
        return len(path), None
