"""Where parameters, gradients and state lie during a step: a plan of the transformation, the shapes and the mesh.

Between steps parameters lie as their own specs say. A field of the state that has a leaf's shape lies as the leaf, and
is spread over the data axis besides, along the largest free dimension that it divides. Within the step gradients and
parameters follow it, so that each device computes its part of the update and no more (ZeRO, stage 1).

Source: Rajbhandari et al. 2020, arXiv:1910.02054, section 5.1.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nablax.core import ArgumentError, PerLeaf, dealing, frozen, leaf_roles, under_trace
from nablax.runtime._quantized import Form, is_quantized
from nablax.runtime._sharding._specs import check_mesh, own_spec, place, spread
from nablax.tree import is_none, is_params_placeholder

_REPLICATED = ("count", "scalar", "flag", "key")


class Specs(PerLeaf):
    """The partition spec of each parameter: a tree of them, a prefix of one, or a function of the parameters."""

    kind = "param_specs"
    form = "a tree of PartitionSpec"

    def check(self, value: Any) -> PartitionSpec:
        if value is not None and not isinstance(value, PartitionSpec):
            raise ArgumentError(
                f"{self.who}: param_specs holds PartitionSpec, got {type(value).__name__}: {value!r}."[:300]
            )
        return PartitionSpec() if value is None else value


class Plan(NamedTuple):
    """Trees of `NamedSharding`. params: between steps. spread: gradients and parameters within. state."""

    params: Any
    spread: Any
    state: Any


def specs_of(params: Any, mesh: Any) -> Any:
    """The specs that parameters have on the mesh now, one a leaf; replicated where they lie elsewhere."""
    return jax.tree.map(lambda x: own_spec(x, mesh), params)


class Layout:
    """How a transformation's steps are laid out on a mesh.

    Args:
      tx: the transformation.
      mesh: of devices; an abstract one serves for planning.
      axis: the name of the axis to spread the state over, or several.
      param_specs: see `Specs`; None reads the types, where the mesh has explicit axes, and else replicates.
      who: speaks in errors.
    """

    def __init__(self, tx: Any, mesh: Any, axis: Any, param_specs: Any, who: str):
        self.tx, self.mesh = tx, mesh
        self.axes = check_mesh(who, mesh, axis)
        self._specs = None if param_specs is None else Specs(param_specs, who)
        self._key = mesh, self.axes, frozen(param_specs)
        self._known: dict[Any, Plan] = {}

    def __eq__(self, other: object) -> bool:  # but for the transformation, which stands beside it in keys
        return isinstance(other, Layout) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def plan(self, params: Any) -> Plan:
        """The shardings for parameters of these shapes; updates have them, too."""
        leaves, treedef = jax.tree.flatten(params)
        specs = self._param_specs(params, leaves)
        key = treedef, tuple(specs), tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves)
        if key not in self._known:
            self._known[key] = self._planned(treedef, specs, leaves)
        return self._known[key]

    def _param_specs(self, params: Any, leaves: list[Any]) -> list[PartitionSpec]:
        if self._specs is None:
            return [own_spec(x, self.mesh) for x in leaves]
        values = self._specs.values(params)
        every = jax.tree.leaves(params, is_leaf=is_none)
        return [spec for spec, x in zip(values, every, strict=True) if x is not None]

    def _planned(self, treedef: Any, specs: list[PartitionSpec], leaves: list[Any]) -> Plan:
        shapes = [jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in leaves]
        params = treedef.unflatten(shapes)
        state = jax.eval_shape(self.tx.init, params)
        known = _Known(params, specs)
        nodes = jax.tree_util.tree_leaves_with_path(state, is_leaf=is_quantized)
        for path, x in nodes:
            if is_quantized(x):
                known.keep_whole(path, x.form)
        roles = iter(leaf_roles(self.tx, state))
        state_specs = []
        for path, x in nodes:
            if is_quantized(x):
                *_, role = (next(roles) for _ in jax.tree.leaves(x))  # of codes and scales
                spec = self._state_spec(path, x.form.shape, role, known)
                state_specs += [x.form.fitting(spec, self.mesh) for _ in jax.tree.leaves(x)]
            else:
                state_specs.append(self._state_spec(path, x.shape, next(roles), known))
        within = [spread(p.shape, p.spec, self.mesh, self.axes, p.box) for p in known.params.values()]

        def shardings(structure: Any, specs: list[PartitionSpec]) -> Any:
            return structure.unflatten([NamedSharding(self.mesh, spec) for spec in specs])

        return Plan(
            shardings(treedef, specs),
            shardings(treedef, within),
            shardings(jax.tree.structure(state), state_specs),
        )

    def _state_spec(
        self, path: Any, shape: tuple[int, ...], role: str | None, known: _Known
    ) -> PartitionSpec:
        if role in _REPLICATED:
            return PartitionSpec()
        found = known.param_of(path, shape)
        if found is not None:
            ahead, p = found  # dimensions before the leaf's own: a memory of several
            inner = spread(p.shape, p.spec, self.mesh, self.axes, p.box)
            return PartitionSpec(*[None] * ahead, *inner) if any(inner) else inner
        # A statistic of another shape; what others keep and nobody declared stays whole.
        return PartitionSpec() if role is None else spread(shape, PartitionSpec(), self.mesh, self.axes)

    def everywhere(self, x: Any) -> Any:
        """An array that every device holds."""
        return place(x, NamedSharding(self.mesh, PartitionSpec()))

    def init(self, params: Any) -> Any:
        """The first state, made where it belongs: no device holds more than its part."""
        if is_params_placeholder(params):
            return self.tx.init(params)
        plan = self.plan(params)
        if under_trace():
            return place(self.tx.init(params), plan.state)
        return jax.jit(self.tx.init, out_shardings=plan.state)(place(params, plan.params))

    def enter(
        self, updates: Any, state: Any, params: Any, extra: dict[str, Any]
    ) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Gradients, state and parameters as a step works on them.

        Of the extra arguments, which line searches take, `grad` is a gradient, too, and `value_fn` gets parameters as
        they lie between steps.
        """
        like = updates if params is None else params
        plan = self.plan(like)
        updates = _fitting(updates, plan.spread, like)
        if extra.get("grad") is not None:
            extra = {**extra, "grad": _fitting(extra["grad"], plan.spread, like)}
        if callable(fn := extra.get("value_fn")):

            @functools.wraps(fn)
            def value_fn(params: Any, *args: Any, **kwargs: Any) -> Any:
                return fn(_fitting(params, plan.params, like), *args, **kwargs)

            extra = {**extra, "value_fn": value_fn}
        return (
            updates,
            place(state, plan.state),
            None if params is None else place(params, plan.spread),
            extra,
        )

    def dealing(self) -> Any:
        """Within it, whole matrices go to single devices; not where some axis is manual already."""
        manual = AxisType.Manual in jax.sharding.get_abstract_mesh().axis_types
        return dealing(self.mesh if isinstance(self.mesh, Mesh) and not manual else None)

    def leave(self, new: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """Parameters or updates, and the state, as they lie between steps; `params` is asked for the shapes."""
        plan = self.plan(params)
        if any(any(s.spec) for s in jax.tree.leaves(plan.params)):
            # What is spread within a split: from there, as the partitioner goes to it from elsewhere by way of the
            # whole.
            nearer = jax.tree.map(lambda to, by: by if any(to.spec) else to, plan.params, plan.spread)
            new = _fitting(new, nearer, params)
        return _fitting(new, plan.params, params), place(state, plan.state)


def _fitting(tree: Any, shardings: Any, like: Any) -> Any:
    """The leaves that have the shape of a leaf of `like`, placed; gradients of each example have another."""
    treedef: Any
    wanted, treedef = jax.tree.flatten(shardings)
    try:
        leaves, shapes = treedef.flatten_up_to(tree), treedef.flatten_up_to(like)
    except (ValueError, TypeError):
        return tree  # the transformation says what does not fit
    fits = [x is not None and jnp.shape(x) == jnp.shape(y) for x, y in zip(leaves, shapes, strict=True)]
    return place(tree, treedef.unflatten([s if fit else None for s, fit in zip(wanted, fits, strict=True)]))


class _Param(NamedTuple):
    """shape, spec: of a parameter. box: of the parts that stay whole, where the state holds it in blocks."""

    shape: tuple[int, ...]
    spec: PartitionSpec
    box: tuple[int, ...] | None = None


class _Known:
    """The parameters, found by path and by shape.

    Attributes:
      params: by path, in their order.
    """

    def __init__(self, params: Any, specs: list[PartitionSpec]):
        paths = [_names(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        shapes = [x.shape for x in jax.tree.leaves(params)]
        self.params = {path: _Param(*row) for path, *row in zip(paths, shapes, specs, strict=True)}
        self._by_shape = dict(reversed(list(zip(shapes, paths, strict=True))))

    def keep_whole(self, path: Any, form: Form) -> None:
        """Keeps the blocks of the parameter that a quantised array belongs to."""
        found = self._find(path, form.shape)
        if found is not None:
            self.params[found[1]] = self.params[found[1]]._replace(box=form.box)

    def param_of(self, path: Any, shape: tuple[int, ...]) -> tuple[int, _Param] | None:
        """The parameter that an array of a state belongs to, and how many dimensions the array has before its own."""
        found = self._find(path, shape)
        return None if found is None else (found[0], self.params[found[1]])

    def _find(self, path: Any, shape: tuple[int, ...]) -> tuple[int, tuple[str, ...]] | None:
        names = _names(path)
        for length in range(len(names), -1, -1):
            for start in range(len(names) - length + 1):
                key = names[start : start + length]
                if key not in self.params:
                    continue
                own = self.params[key].shape
                ahead = len(shape) - len(own)
                if own and ahead >= 0 and shape[ahead:] == own:
                    return ahead, key
        return (0, self._by_shape[shape]) if shape and shape in self._by_shape else None


def _names(path: Any) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
