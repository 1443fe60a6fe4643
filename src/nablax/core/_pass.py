"""One pass over the leaves for a run of neighbouring rules.

A pass resolves hyperparameters, runs all `scalars` functions in one compiled call, and then calls, leaf by leaf, one
compiled function in which the rules follow each other: the leaf is read once and written once, whatever their number.
The states stay apart, one a transformation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nablax.core._base import MaskedState
from nablax.core._compiled import Constants, leaf_program, like, scalar_program
from nablax.core._errors import ArgumentError, MissingParamsError, StructureError
from nablax.tree import path_str
from nablax.tree._traverse import is_none

if TYPE_CHECKING:
    from nablax.core._leafwise import Spec


def run(
    specs: Sequence[Spec], states: Sequence[Any], updates: Any, params: Any, extra: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """Applies the rules of `specs` in one pass; only the first may have a `measure`.

    Returns:
      The updates and the new states, in order.
    """
    inner = [s.inner_state if spec.mask else s for spec, s in zip(specs, states, strict=True)]
    masks = [spec.mask.flags(updates, params) if spec.mask else None for spec in specs]
    flags = [{k: m.values(updates, params) for k, m in spec.flags.items()} for spec in specs]
    for spec in specs:
        if params is None and "params" in spec.inputs:
            raise MissingParamsError(
                f"{spec.name} reads the parameters, but update() got params=None. "
                "Call update(gradients, state, params)."
            )
    values = [_resolve(spec, state) for spec, state in zip(specs, inner, strict=True)]
    measured = _measure(specs[0], inner[0], values[0], updates, params, extra)
    computed, inner = _scalars(specs, inner, values, measured, extra)
    shared, constants = [], []
    for i, spec in enumerate(specs):
        found = {**(measured if i == 0 else {}), **computed[i]}
        dynamic, static = _arguments(spec, inner[i], values[i], found, extra)
        shared.append(dynamic)
        constants.append(static)

    treedef: Any
    leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    reads_params = any("params" in spec.inputs for spec in specs)
    param_leaves = (
        _align(treedef, updates, params, "params", specs[0]) if reads_params else [None] * len(leaves)
    )
    columns = [
        [_align(treedef, updates, getattr(state, f), f"state.{f}", spec) for f in spec.fields]
        for spec, state in zip(specs, inner, strict=True)
    ]

    kinds: dict[Any, list[int]] = {}
    for i, g in enumerate(leaves):
        if g is not None:
            active = tuple(m is None or m[i] for m in masks)
            chosen = tuple(tuple((k, f[i]) for k, f in fs.items()) for fs in flags)
            kinds.setdefault((active, chosen), []).append(i)
    results = list(leaves)
    for (active, chosen), members in kinds.items():
        program = leaf_program(
            tuple(
                (s.name, s.rule, s.inputs, c.extended(more), on)
                for s, c, more, on in zip(specs, constants, chosen, active, strict=True)
            ),
            stack=any(s.stack and on for s, on in zip(specs, active, strict=True)),
        )
        rows = [(leaves[i], param_leaves[i], [[c[i] for c in cs] for cs in columns]) for i in members]
        try:
            outputs = program.map(rows, shared)
        except (TypeError, ValueError):
            _explain(
                specs, rows, [jax.tree.flatten_with_path(updates, is_leaf=is_none)[0][i][0] for i in members]
            )
            raise
        for i, (u, fields) in zip(members, outputs, strict=True):
            results[i] = u
            for column, new in zip(columns, fields, strict=True):
                for c, value in zip(column, new, strict=True):
                    c[i] = value

    new_states = []
    for spec, state, column in zip(specs, inner, columns, strict=True):
        if spec.fields:
            state = state._replace(
                **{f: treedef.unflatten(c) for f, c in zip(spec.fields, column, strict=True)}
            )
        new_states.append(MaskedState(state) if spec.mask else state)
    return treedef.unflatten(results), new_states


def _resolve(spec: Spec, state: Any) -> dict[str, Any]:
    """The hyperparameters of this update: schedules evaluated at the count of updates so far."""
    values = {}
    for name, value in spec.hyperparams.items():
        if callable(value):
            if "count" not in getattr(state, "_fields", ()):
                raise ArgumentError(f"{spec.name}: {name} cannot be a schedule: the state holds no count.")
            # An array, even where a schedule in plain Python returns a float: the float would be compiled in.
            value = jnp.asarray(value(state.count))
        values[name] = value
    return values


def _lookup(spec: Spec, names: Sequence[str], defaults: frozenset[str], *sources: Any) -> dict[str, Any]:
    out = {}
    for name in names:
        for source in sources:
            if name in source:
                out[name] = source[name]
                break
        else:
            if name not in defaults:
                raise ArgumentError(
                    f"{spec.name} needs the extra argument {name}. Call update(gradients, state, params, {name}=...)."
                )
    return out


def _other_fields(spec: Spec, state: Any) -> dict[str, Any]:
    """The fields of the state that belong to no leaf."""
    return {f: getattr(state, f) for f in getattr(state, "_fields", ()) if f not in spec.fields}


def _measure(
    spec: Spec, state: Any, values: dict[str, Any], updates: Any, params: Any, extra: dict[str, Any]
) -> dict[str, Any]:
    if spec.measure is None:
        return {}
    if spec.mask:
        params = None if params is None else spec.mask.apply(params, params)
        updates = spec.mask.apply(updates, params)
    fields = {f: getattr(state, f) for f in getattr(state, "_fields", ())}
    wants = _lookup(spec, spec.measure_wants, spec.optional, values, spec.options, fields, extra)
    return spec.measure(updates, params, **wants)


def _scalars(
    specs: Sequence[Spec],
    states: Sequence[Any],
    values: Sequence[dict[str, Any]],
    measured: dict[str, Any],
    extra: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Runs every `scalars` in one compiled call: what they computed, and the states with their new scalar fields."""
    keys, inputs = [], []
    for i, (spec, state) in enumerate(zip(specs, states, strict=True)):
        fields = _other_fields(spec, state)
        wants = [n for n in spec.scalars_wants if n != "count"]
        found = _lookup(
            spec, wants, spec.optional, measured if i == 0 else {}, values[i], spec.options, fields, extra
        )
        options = {k: found.pop(k) for k in list(found) if k in spec.options}
        if "count" in fields:
            found["count"] = fields["count"]
        keys.append(
            (spec.name, spec.scalars, "count" in spec.scalars_wants and "count" in fields, Constants(options))
        )
        inputs.append(found)
    if not any(inputs) and not any(spec.scalars for spec in specs):
        return [{} for _ in specs], list(states)
    outputs = scalar_program(tuple(keys))(inputs)
    computed, new_states = [], []
    for spec, state, out in zip(specs, states, outputs, strict=True):
        fields = _other_fields(spec, state)
        own = {k: like(v, fields[k], spec.name) for k, v in out.items() if k in fields}
        new_states.append(state._replace(**own) if own else state)
        computed.append({k: v for k, v in out.items() if k not in own})
    return computed, new_states


def _arguments(
    spec: Spec, state: Any, values: dict[str, Any], computed: dict[str, Any], extra: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """The keyword arguments of a rule: arrays that all leaves share, and constants to compile in."""
    constants = {
        k: v for k, v in values.items() if isinstance(v, int | float | complex) and k not in computed
    } | dict(spec.options)
    found = _lookup(
        spec, spec.wants, spec.optional, computed, values, spec.options, _other_fields(spec, state), extra
    )
    static = {k: found.pop(k) for k in list(found) if k in constants or found[k] is None}
    return found, Constants(static)


def _align(treedef: Any, updates: Any, tree: Any, what: str, spec: Spec) -> list[Any]:
    """The part of a tree that belongs to each leaf of the updates."""
    try:
        return list(treedef.flatten_up_to(tree))
    except (ValueError, TypeError) as e:
        mine = dict(jax.tree.flatten_with_path(updates, is_leaf=is_none)[0])
        theirs = dict(jax.tree.flatten_with_path(tree, is_leaf=is_none)[0])
        for path in [*mine, *theirs]:
            if (path in mine) != (path in theirs):
                missing = what if path in mine else "updates"
                where = f"differ at {path_str(path)}: {missing} has no such leaf"
                break
        else:
            where = f"have different containers: {e}"
        raise StructureError(f"{spec.name}: updates and {what} {where}.") from e


def _explain(specs: Sequence[Spec], rows: list[Any], paths: list[Any]) -> None:
    """Names the leaf and the field whose shape does not fit, where that is why a rule failed."""
    for (g, param, columns), path in zip(rows, paths, strict=True):
        named = [("params", param, specs[0])]
        for spec, fields in zip(specs, columns, strict=True):
            named += [(f"state.{n}", x, spec) for n, x in zip(spec.fields, fields, strict=True)]
        for what, x, spec in named:
            if hasattr(x, "shape") and x.shape != jnp.shape(g):
                raise StructureError(
                    f"{spec.name}: updates and {what} differ at {path_str(path)}: shape {jnp.shape(g)} against "
                    f"{x.shape}."
                )
