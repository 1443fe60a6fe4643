"""`partition`: a transformation for each group of leaves, by labels or by the paths of the leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax

from nablax import tree
from nablax.core import (
    FLAG,
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    Mask,
    MaskedState,
    Params,
    PerLeaf,
    StructureError,
    Transformation,
    Updates,
    checked,
    with_extra_args_support,
    wrapper,
)
from nablax.tree import is_none, is_params_placeholder


class PartitionState(NamedTuple):
    """inner_states: by label, the `MaskedState` of its transformation; leaves of other labels are `MaskedNode()`."""

    inner_states: Mapping[Hashable, Any]


@checked(mask_compatible_extra_args=FLAG)
def partition(
    transforms: Mapping[Any, Any],
    param_labels: Any | Callable[[Any], Any],
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """Applies to each leaf the transformation that its label names.

    Args:
      transforms: transformations by label.
      param_labels: tree of labels with the structure of params, or a prefix of it, or a function of the parameters that
        returns one. A function is asked once, at init, on the parameters.
      mask_compatible_extra_args: also split the extra arguments that have the structure of the updates.

    Returns:
      A transformation with a `PartitionState`.

    Raises:
      ArgumentError: transforms is no dict.
      StructureError: a label has no transformation, or the labels do not fit the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import scale
      >>> tx = partition({"slow": scale(0.1), "fast": scale(1.0)}, {"embedding": "slow", "head": "fast"})
      >>> grads = {"embedding": jnp.ones(1), "head": jnp.ones(1)}
      >>> tx.update(grads, tx.init(grads))[0]
      {'embedding': Array([0.1], dtype=float32), 'head': Array([1.], dtype=float32)}
    """
    if not isinstance(transforms, Mapping):
        raise ArgumentError(
            f"partition: transforms must be a dict of transformations, got {transforms!r}."[:300]
        )
    return _partitioned(
        Transformation, transforms, PerLeaf(param_labels, "partition"), mask_compatible_extra_args
    )


def _partitioned(
    kind: Any, transforms: Mapping[Any, Any], labels: PerLeaf, mask_compatible_extra_args: bool
) -> Any:
    """A transformation of this kind whose children are `transforms`, named by their labels."""
    txs = {label: with_extra_args_support(tx) for label, tx in transforms.items()}
    mask = Mask(None, labels.who)

    def masks(updates: Any, params: Any = None) -> dict[Any, Any]:
        """For each label, the tree of bools that says where it stands."""
        if is_params_placeholder(updates):
            return dict.fromkeys(txs, True)
        tree_of_labels = labels.tree(updates, params)
        for i, label in enumerate(labels.spread(tree_of_labels, updates)):
            if label not in txs:
                path, leaf = jax.tree.flatten_with_path(updates, is_leaf=is_none)[0][i]
                if leaf is not None:
                    raise StructureError(
                        f"{labels.who}: the label {label!r} of {tree.path_str(path)} has no transformation; there "
                        f"are {', '.join(map(repr, txs))}."
                    )
        return {
            label: jax.tree.map(lambda x, label=label: x == label, tree_of_labels, is_leaf=is_none)
            for label in txs
        }

    def init(params: Params) -> PartitionState:
        return PartitionState(
            {label: MaskedState(txs[label].init(mask.hide(params, m))) for label, m in masks(params).items()}
        )

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        structure: Any = jax.tree.structure(updates)
        split = {
            k for k, v in extra.items() if mask_compatible_extra_args and jax.tree.structure(v) == structure
        }
        result, states = updates, {}
        for label, m in masks(updates, params).items():
            mine = {k: mask.hide(v, m) if k in split else v for k, v in extra.items()}
            my_params = None if params is None else mask.hide(params, m)
            before = state.inner_states[label].inner_state
            new, inner = txs[label].update(mask.hide(updates, m), before, my_params, **mine)
            result = mask.merge(new, result, m)
            states[label] = MaskedState(inner)
        return result, PartitionState(states)

    def seen(params: Params, tree: Any) -> dict[str, Any]:
        return {str(label): mask.hide(tree, m) for label, m in masks(params).items()}

    children = {str(label): tx for label, tx in txs.items()}
    places = {str(label): ("inner_states", label, "inner_state") for label in txs}
    return kind.of(wrapper(init, update, children, places, seen=seen).call)


_REST = "default"  # the label of leaves that no rule takes


class PathPartition(Transformation):
    """What `partition_by_path` returns: a partition that can say which leaf goes where."""

    __slots__ = ()

    def assignments(self, params: Params) -> dict[str, str]:
        """For each leaf's path, the rule that takes it."""
        paths = _paths(params)
        rules, rest = _compiled(self.arguments["transforms"]), self.arguments["default"] is not None
        return dict(zip(paths, _rule_of_each(paths, rules, rest), strict=True))

    def describe(self, params: Params) -> None:
        """Prints which leaf goes to which rule, with its shape and dtype.

        Args:
          params: tree of arrays, of `jax.ShapeDtypeStruct`, or of tensors of autograd.
        """
        taken = self.assignments(params)
        width = max(map(len, taken), default=0)
        for rule in self.children:
            print(f"{rule!r}:")
            for (path, by), leaf in zip(taken.items(), jax.tree.leaves(params), strict=True):
                if by == rule:
                    print(f"  {path:<{width}}  {_kind(leaf)}")


def _kind(leaf: Any) -> str:
    """Dtype and shape, read off the leaf itself: a tensor has them, and is not for plain JAX functions."""
    leaf = leaf if hasattr(leaf, "dtype") else jax.typeof(leaf)
    return f"{leaf.dtype.name}[{','.join(map(str, leaf.shape))}]"


def _paths(params: Params) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree.flatten_with_path(params)[0]
    ]


@checked(mask_compatible_extra_args=FLAG)
def partition_by_path(
    transforms: Mapping[str, Any], *, default: Any = None, mask_compatible_extra_args: bool = False
) -> PathPartition:
    """Applies to each leaf the transformation of the first regular expression that its path contains.

    A path is the keys, fields and indices from the root, joined by "/": `layers/0/bias`. Rules are tried in the order
    of the dict; `default` takes the rest.

    Args:
      transforms: transformations by regular expression, which may match anywhere in the path; use ^ and $ to anchor it.
      default: the transformation of leaves that no rule takes, under the label "default"; None refuses such leaves.
      mask_compatible_extra_args: as in `partition`.

    Returns:
      A transformation with a `PartitionState`; its method `describe(params)` prints which leaf goes where.

    Raises:
      ArgumentError: transforms is no dict, or a key no regular expression.
      StructureError: at init, a leaf that no rule takes, or a rule that takes no leaf.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import scale
      >>> tx = partition_by_path({"bias$": scale(1.0)}, default=scale(0.1))
      >>> params = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
      >>> tx.describe(params)
      'bias$':
        dense/bias    float32[3]
      'default':
        dense/kernel  float32[2,3]
    """
    who = "partition_by_path"
    if not isinstance(transforms, Mapping):
        raise ArgumentError(f"{who}: transforms must be a dict of transformations, got {transforms!r}."[:300])
    TRANSFORMATION(who, "default", default, optional=True)
    rules, rest = _compiled(transforms), default is not None
    if rest and _REST in transforms:
        raise ArgumentError(f"{who}: with default=, {_REST!r} is the label of the rest and cannot be a rule.")

    def labels(params: Params) -> Any:
        return jax.tree.unflatten(jax.tree.structure(params), _rule_of_each(_paths(params), rules, rest))

    txs = {**transforms, _REST: default} if rest else transforms
    return _partitioned(PathPartition, txs, PerLeaf(labels, who), mask_compatible_extra_args)


def _compiled(transforms: Mapping[str, Any]) -> dict[str, re.Pattern[str]]:
    rules = {}
    for rule in transforms:
        try:
            rules[rule] = re.compile(rule)
        except (re.error, TypeError) as e:
            raise ArgumentError(f"partition_by_path: {rule!r} is not a regular expression: {e}.") from e
    return rules


def _rule_of_each(paths: list[str], rules: dict[str, re.Pattern[str]], rest: bool) -> list[str]:
    """The first rule that each path contains; the rest has a label of its own, where that is allowed."""
    taken = [next((rule for rule, regex in rules.items() if regex.search(path)), _REST) for path in paths]
    missing = [path for path in paths if not rest and not any(regex.search(path) for regex in rules.values())]
    if missing:
        raise StructureError(
            f"partition_by_path: no rule takes {', '.join(missing[:5])}{' ...' if missing[5:] else ''}; the rules are "
            f"{', '.join(map(repr, rules))}. Give default= for the rest."
        )
    idle = [rule for rule in rules if rule not in taken]
    if idle:
        raise StructureError(
            f"partition_by_path: the rule {idle[0]!r} takes no leaf. The paths are {', '.join(paths[:10])}"
            f"{' ...' if paths[10:] else ''}; earlier rules come first."
        )
    return taken
