"""Plans: what is decided for a structure of parameters, before any number is looked at.

Which leaves a transformation works on, which label or axes a leaf has: each is a tree of values, or a function that
returns one. A plan is a pure function of paths, shapes and dtypes. Nothing is remembered by `init` for `update`: a
function is asked on the parameters where `update` gets them, else on the updates, and its answer is kept for trees of
the same structure, shapes and dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional, Union

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._base import MaskedNode, Params
from nablax.core._errors import ArgumentError, StructureError
from nablax.core._kinds import is_flag
from nablax.tree import is_none, is_params_placeholder

_KEPT = 256  # answers of one function


class PerLeaf:
    """A value for each leaf: a tree of values, or a function of the parameters that returns one.

    Args:
      source: tree of values with the structure of params, or a prefix of it, or a function from params to one.
      who: the transformation that speaks in errors.
    """

    kind = "labels"
    form = "a tree"

    def __init__(self, source: Any, who: str):
        self.source = source
        self.who = who
        self._known: dict[Any, Any] = {}

    def check(self, value: Any) -> Any:
        """The value as it is meant; raises where it is none."""
        return value

    def tree(self, updates: Any, params: Any = None) -> Any:
        """The tree of values for these updates, or for parameters at init; it may be a prefix."""
        if not callable(self.source):
            return self.source
        asked = updates if params is None else params
        leaves, treedef = jax.tree.flatten(asked)
        key = treedef, tuple((jnp.shape(x), getattr(x, "dtype", type(x))) for x in leaves)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._ask(asked)
        return self._known[key]

    def values(self, updates: Any, params: Any = None) -> tuple[Any, ...]:
        """One value for each leaf of `updates`, in order; None counts as a leaf.

        Raises:
          StructureError: the tree of values does not fit.
          ArgumentError: the function looked at values of parameters.
        """
        return () if is_params_placeholder(updates) else self.spread(self.tree(updates, params), updates)

    def spread(self, source: Any, like: Any) -> tuple[Any, ...]:
        """The values of a tree, or of a prefix, one for each leaf of `like`."""
        values: list[Any] = []

        def under(value: Any, subtree: Any) -> None:
            values.extend([self.check(value)] * len(jax.tree.leaves(subtree, is_leaf=is_none)))

        self._fitted(under, source, like)
        return tuple(values)

    def _fitted(self, f: Callable[..., Any], source: Any, *trees: Any) -> Any:
        try:
            return jax.tree.map(f, source, *trees, is_leaf=is_none)
        except ValueError as e:
            raise StructureError(
                f"{self.who}: the {self.kind} must be {self.form} with the structure of the parameters, or a prefix "
                f"of it. {e}"
            ) from e

    def _ask(self, asked: Any) -> Any:
        """The answer of the function, which sees structure, shapes and dtypes but no values."""
        treedef: Any
        leaves, treedef = jax.tree.flatten(asked)
        known = [(x, isinstance(x, np.ndarray | jax.Array)) for x in leaves]
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x, is_array in known if is_array]
        found: list[Any] = []

        def filled(arrays: list[Any]) -> Any:
            rest = iter(arrays)
            return treedef.unflatten([next(rest) if is_array else x for x, is_array in known])

        try:
            jax.eval_shape(lambda arrays: found.append(self.source(filled(arrays))), shapes)
            answer = found[0]
            if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(answer)):
                # Arrays made on the way. Where they hang on no parameter, shapes alone tell them, too.
                with jax.ensure_compile_time_eval():
                    answer = self.source(filled(shapes))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as e:
            raise self._value_dependent() from e
        except (TypeError, AttributeError) as e:
            if found:
                raise self._value_dependent() from e
            raise
        return answer

    def _value_dependent(self) -> ArgumentError:
        return ArgumentError(
            f"{self.who}: the {self.kind} must not depend on the values of parameters or gradients, only on their "
            "structure, paths, shapes and dtypes: the compiled step is the same for all values."
        )


class Mask(PerLeaf):
    """Which leaves to work on: a tree of bools, or a function of the parameters that returns one."""

    kind = "mask"
    form = "a tree of bools"

    def check(self, value: Any) -> bool:
        if isinstance(value, jax.core.Tracer):
            raise self._value_dependent()
        if value is not None and not is_flag(value):
            raise ArgumentError(
                f"{self.who}: a mask holds bools, got {type(value).__name__}: {value!r}."[:300]
            )
        return bool(value)

    def hide(self, tree: Any, flags: Any) -> Any:
        """The tree with `MaskedNode()` where the mask is False, at the node where the mask stops.

        Args:
          tree: of the structure of the mask; where the mask has a leaf, it may have more below.
          flags: what `self.tree` answered.
        """
        if is_params_placeholder(tree):
            return tree
        return self._fitted(lambda m, x: x if self.check(m) else MaskedNode(), flags, tree)

    def merge(self, new: Any, old: Any, flags: Any) -> Any:
        """The leaves of `new` where the mask is True, those of `old` elsewhere."""
        if is_params_placeholder(old):
            return new
        return self._fitted(lambda m, n, o: n if self.check(m) else o, flags, new, old)


MaskOrFn = Optional[Union[Any, Callable[[Params], Any]]]  # noqa: UP007, UP045 - what Optax has


def is_masked_node(x: Any) -> bool:
    """Whether an object is a `MaskedNode`, nablax's or Optax's."""
    return type(x).__name__ == "MaskedNode" and not x
