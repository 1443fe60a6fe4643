"""`partition`: a transformation for each group of leaves, by labels or by the paths of the leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, cast

import jax

from nablax import tree
from nablax.core import (
    GradientTransformationExtraArgs,
    MaskedState,
    Params,
    Updates,
    Wrapper,
    hide,
    merge,
    with_extra_args_support,
)
from nablax.core._checked import FLAG, checked
from nablax.core._errors import ArgumentError, StructureError
from nablax.core._masks import PerLeaf
from nablax.tree._traverse import is_none


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
    return _Partition(
        transforms, PerLeaf(param_labels, "partition"), mask_compatible_extra_args=mask_compatible_extra_args
    )


class _Partition(Wrapper):
    """A wrapper whose children are the transformations, named by their labels."""

    labels: PerLeaf

    def __new__(
        cls, transforms: Mapping[Any, Any], labels: PerLeaf, mask_compatible_extra_args: bool
    ) -> _Partition:
        txs = {label: with_extra_args_support(tx) for label, tx in transforms.items()}

        def labels_of(updates: Any, params: Any = None, remember: bool = False) -> tuple[Any, ...]:
            values = labels.values(updates, params, remember)
            for i, label in enumerate(values):
                if label not in txs:
                    path, leaf = jax.tree.flatten_with_path(updates, is_leaf=is_none)[0][i]
                    if leaf is not None:
                        raise StructureError(
                            f"{labels.who}: the label {label!r} of {tree.path_str(path)} has no transformation; there "
                            f"are {', '.join(map(repr, txs))}."
                        )
            return values

        def init(params: Params) -> PartitionState:
            values = labels_of(params, remember=True)
            return PartitionState(
                {
                    label: MaskedState(tx.init(hide(params, [v == label for v in values], params)))
                    for label, tx in txs.items()
                }
            )

        def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
            values = labels_of(updates, params)
            structure: Any = jax.tree.structure(updates)
            split = {
                k
                for k, v in extra.items()
                if mask_compatible_extra_args and jax.tree.structure(v) == structure
            }
            result, states = updates, {}
            for label, tx in txs.items():
                flags = [v == label for v in values]
                mine = {k: hide(v, flags, updates) if k in split else v for k, v in extra.items()}
                my_params = None if params is None else hide(params, flags, updates)
                new, inner = tx.update(
                    hide(updates, flags, updates), state.inner_states[label].inner_state, my_params, **mine
                )
                result = merge(new, result, flags)
                states[label] = MaskedState(inner)
            return result, PartitionState(states)

        def rebuild(children: dict[str, Any]) -> _Partition:
            new = {label: children[str(label)] for label in transforms}
            return cls(new, labels, mask_compatible_extra_args)

        def states_of(state: Any) -> dict[str, Any]:
            return {str(label): masked.inner_state for label, masked in state.inner_states.items()}

        children = {str(label): tx for label, tx in transforms.items()}
        self = cast(_Partition, super().__new__(cls, init, update, children, rebuild, states_of, labels.who))
        self.labels = labels
        return self


class PathPartition(_Partition):
    """What `partition_by_path` returns: a partition that can say which leaf goes where."""

    def assignments(self, params: Params) -> dict[str, str]:
        """For each leaf's path, the rule that takes it."""
        rules = self.labels.source(params)
        return dict(zip(_paths(params), jax.tree.leaves(rules), strict=True))

    def describe(self, params: Params) -> None:
        """Prints which leaf goes to which rule, with its shape and dtype.

        Args:
          params: tree of arrays, or of `jax.ShapeDtypeStruct`.
        """
        taken = self.assignments(params)
        width = max(map(len, taken), default=0)
        for rule in self.children:
            print(f"{rule!r}:")
            for (path, by), leaf in zip(taken.items(), jax.tree.leaves(params), strict=True):
                if by == rule:
                    print(f"  {path:<{width}}  {jax.typeof(leaf).str_short()}")


def _paths(params: Params) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree.flatten_with_path(params)[0]
    ]


@checked(mask_compatible_extra_args=FLAG)
def partition_by_path(
    transforms: Mapping[str, Any], *, mask_compatible_extra_args: bool = False
) -> PathPartition:
    """Applies to each leaf the transformation of the first regular expression that its path contains.

    A path is the keys, fields and indices from the root, joined by "/": `layers/0/bias`. Rules are tried in the order
    of the dict, so `".*"` last takes the rest. They are resolved once, at init.

    Args:
      transforms: transformations by regular expression, which may match anywhere in the path; use ^ and $ to anchor it.
      mask_compatible_extra_args: as in `partition`.

    Returns:
      A transformation with a `PartitionState`; its method `describe(params)` prints which leaf goes where.

    Raises:
      ArgumentError: transforms is no dict, or a key no regular expression.
      StructureError: at init, a leaf that no rule takes, or a rule that takes no leaf.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import scale
      >>> tx = partition_by_path({"bias$": scale(1.0), ".*": scale(0.1)})
      >>> params = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
      >>> tx.describe(params)
      'bias$':
        dense/bias    float32[3]
      '.*':
        dense/kernel  float32[2,3]
    """
    who = "partition_by_path"
    if not isinstance(transforms, Mapping):
        raise ArgumentError(f"{who}: transforms must be a dict of transformations, got {transforms!r}."[:300])
    rules = {}
    for rule in transforms:
        try:
            rules[rule] = re.compile(rule)
        except (re.error, TypeError) as e:
            raise ArgumentError(f"{who}: {rule!r} is not a regular expression: {e}.") from e

    def labels(params: Params) -> Any:
        paths = _paths(params)
        taken = [next((rule for rule, regex in rules.items() if regex.search(path)), None) for path in paths]
        if None in taken:
            missing = [path for path, rule in zip(paths, taken, strict=True) if rule is None]
            raise StructureError(
                f"{who}: no rule takes {', '.join(missing[:5])}{' ...' if missing[5:] else ''}; the rules are "
                f"{', '.join(map(repr, rules))}. Add one, such as '.*', for the rest."
            )
        idle = [rule for rule in rules if rule not in taken]
        if idle:
            raise StructureError(
                f"{who}: the rule {idle[0]!r} takes no leaf. The paths are {', '.join(paths[:10])}"
                f"{' ...' if paths[10:] else ''}; earlier rules come first."
            )
        return jax.tree.unflatten(jax.tree.structure(params), taken)

    return PathPartition(transforms, PerLeaf(labels, who), mask_compatible_extra_args)
