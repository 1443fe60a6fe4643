"""Mapping over the parts of an optimizer's state that look like the parameters.

Which parts those are, `init` itself tells: it is called with a placeholder in place of the parameters, and
wherever the placeholder turns up in the result, the state holds something like the parameters. The
placeholder is a tree node without leaves, so `tree.zeros_like`, casts and any `jax.tree.map` pass it through
untouched.

An init that looks into the tree (a mask or labels given as a tree) cannot take a placeholder for the whole
tree. It gets a tree of placeholders, one a leaf, in the structure of `rest` or of a part of the state.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ._paths import children


@jax.tree_util.register_pytree_node_class
class ParamsPlaceholder:
    """Stands for all parameters, or for leaf number `index` of them."""

    def __init__(self, index: int | None = None):
        self.index = index

    def tree_flatten(self) -> tuple[tuple, int | None]:
        return (), self.index

    @classmethod
    def tree_unflatten(cls, index: int | None, _: Any) -> "ParamsPlaceholder":
        return cls(index)


def is_params_placeholder(params: Any) -> bool:
    """Whether `params` is no tree of parameters but one opaque node that stands for it.

    A transformation that compares params with a tree of its own (a mask, labels) should hand such a node on
    as it is. It is recognised by its form, a node without children that is no container, so those of other
    libraries are too.
    """
    if params is None or isinstance(params, dict | list | tuple):
        return False
    return _is_childless(params)


def _is_childless(node: Any) -> bool:
    """A node of a type of its own without leaves: a masked leaf, a placeholder."""
    if type(node) in (dict, list, tuple, type(None)):
        return False
    treedef: Any = jax.tree.structure(node)
    return treedef.num_leaves == 0 and treedef.num_nodes == 1


def _is_placeholder(x: Any) -> bool:
    return isinstance(x, ParamsPlaceholder)


def map_params(
    initable: Any,
    f: Callable[..., Any],
    state: Any,
    /,
    *rest: Any,
    transform_non_params: Callable[..., Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Applies `f` to the leaves of a state that correspond to leaves of the parameters.

    It serves, for example, to lay out an optimizer's state like the parameters:

        specs = map_params(tx, lambda _, spec: spec, state, param_specs, transform_non_params=lambda _: P())

    Args:
      initable: a transformation, or its init function.
      f: takes such a leaf, and the leaves of `rest` at the same place.
      state: a state that init returned, or one of its form.
      *rest: trees of the parameters' structure.
      transform_non_params: applied to all other leaves; by default they stay what they are.
      is_leaf: where true, a part of the state goes to `f` whole. Masked leaves are kept as they are by
        default.

    Raises:
      ValueError: the state has another form than what init returns.
      Exception: what init raises, if it can be called with no kind of placeholder.

    >>> map_params(lambda params: {"count": 0, "mu": params}, lambda x: -x, {"count": 3, "mu": {"w": 1.0}})
    {'count': 3, 'mu': {'w': -1.0}}
    """
    init = getattr(initable, "init", initable)
    if not callable(init):
        raise TypeError(
            "tree.map_params: initable must be a transformation or a function init(params), got "
            f"{type(initable).__name__}: {initable!r}."[:300]
        )
    template, params_treedef = _template(init, state, rest)

    def apply(leaf: Any, *others: Any) -> Any:
        if _is_childless(leaf) and not (is_leaf is not None and is_leaf(leaf)):
            return leaf
        return f(leaf, *others)

    def stop(x: Any) -> bool:
        return _is_childless(x) or (is_leaf is not None and is_leaf(x))

    def one(mark: Any, part: Any) -> Any:
        if not _is_placeholder(mark):
            return part if transform_non_params is None else jax.tree.map(transform_non_params, part)
        others = rest
        if mark.index is not None:
            others = tuple(params_treedef.flatten_up_to(r)[mark.index] for r in rest)
        return jax.tree.map(apply, part, *others, is_leaf=stop)

    return jax.tree.map(one, template, state, is_leaf=_is_placeholder)


def _template(init: Callable[[Any], Any], state: Any, rest: tuple) -> tuple[Any, Any]:
    """init's result on placeholders, and the structure of the parameters where that had to be found."""
    try:
        template = init(ParamsPlaceholder())
    except Exception as error:
        for treedef in _candidates(state, rest):
            marks = treedef.unflatten([ParamsPlaceholder(i) for i in range(treedef.num_leaves)])
            try:
                template = init(marks)
            except Exception:  # this structure is not the one that init expects
                continue
            if _fits(template, state):
                return _join_marks(template, treedef), treedef
        raise error
    if not _fits(template, state):
        raise ValueError(
            "tree.map_params: the state does not have the form that init returns: "
            f"{jax.tree.structure(template, is_leaf=_is_placeholder)} "
            f"for a state {jax.tree.structure(state)}."
        )
    return template, None


def _join_marks(template: Any, treedef: Any) -> Any:
    """Marks whole trees where marks and masked leaves together make up the parameters' structure.

    Then masked leaves have their place among the parameters too, and `is_leaf` may hand them to `f`.
    """
    if jax.tree_util.treedef_is_leaf(treedef):
        return template

    def is_params(x: Any) -> bool:
        return jax.tree.structure(x, is_leaf=_is_childless) == treedef and all(
            map(_is_childless, jax.tree.leaves(x, is_leaf=_is_childless))
        )

    return jax.tree.map(lambda x: ParamsPlaceholder() if is_params(x) else x, template, is_leaf=is_params)


def _fits(template: Any, state: Any) -> bool:
    try:
        jax.tree.map(lambda mark, part: None, template, state, is_leaf=_is_placeholder)
    except ValueError:
        return False
    return True


def _candidates(state: Any, rest: tuple) -> Iterator[Any]:
    """Structures that the parameters may have, masked leaves counted as leaves, the likeliest first."""
    for tree in rest[:1]:
        yield jax.tree.structure(tree)
    todo = [state]
    seen = []
    while todo:
        node = todo.pop(0)
        treedef = jax.tree.structure(node, is_leaf=_is_childless)
        if treedef not in seen:
            seen.append(treedef)
            yield treedef
        todo += [child for _, child in children(node) if child is not None]
