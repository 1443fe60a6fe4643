"""One pass over the leaves for a run of neighbouring rules.

A pass resolves hyperparameters, runs all `scalars` functions in one compiled call, and then calls, leaf by leaf, one
compiled function in which the rules follow each other: the leaf is read once and written once, whatever their number.
The states stay apart, one a transformation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._base import MaskedState
from nablax.core._columns import Columns, align, misfit, other_dtypes
from nablax.core._compiled import Constants, Step, leaf_program, like, scalar_program
from nablax.core._errors import ArgumentError, StructureError, require_params
from nablax.core._number import bound, plain
from nablax.core._program import run as run_programs
from nablax.core._split import check_elementwise
from nablax.tree import is_none, reach_now


def run(
    rules: Sequence[Any],
    states: Sequence[Any],
    updates: Any,
    params: Any,
    extra: dict[str, Any],
    dtypes: Sequence[Any] | None = None,
    wide: bool = False,
) -> tuple[Any, list[Any], list[Any]]:
    """Applies rules in one pass; only the first may have a `measure`.

    Args:
      rules: bodies of leafwise transformations.
      states: theirs.
      dtypes: for each leaf, the dtype that its update had before it was widened; None is the one that it has.
      wide: hand out updates as wide as they were computed, at least float32.

    Returns:
      The updates, the new states, in order, and for each leaf the dtype that its update ought to have.
    """
    inner = [_inside(rule, s) for rule, s in zip(rules, states, strict=True)]
    asked = [rule.mask.tree(updates, params) if rule.mask else None for rule in rules]
    masks = [m if m is None else rule.mask.spread(m, updates) for rule, m in zip(rules, asked, strict=True)]
    flags = [{k: f.values(updates, params) for k, f in rule.flags.items()} for rule in rules]
    for rule in rules:
        if "params" in rule.wiring.inputs:
            require_params(rule.name, params)
    values = [_resolve(rule, state) for rule, state in zip(rules, inner, strict=True)]
    for rule, state in zip(rules, inner, strict=True):
        if rule.roles and not set(rule.roles).issubset(getattr(state, "_fields", ())):
            raise _of_another(rule, state)
    measured = _measure(rules[0], asked[0], inner[0], values[0], updates, params, extra)
    computed, inner = _scalars(rules, inner, values, measured, extra)
    shared, constants = [], []
    for i, rule in enumerate(rules):
        found = {**(measured if i == 0 else {}), **computed[i]}
        dynamic, static = _arguments(rule, inner[i], values[i], found, extra)
        shared.append(dynamic)
        constants.append(static)

    treedef: Any
    leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    reads_params = any("params" in rule.wiring.inputs for rule in rules)
    if reads_params:
        param_leaves = align(treedef, updates, params, "params", rules[0])
        param_dtypes = [None] * len(leaves)
    else:
        param_leaves = [None] * len(leaves)
        param_dtypes = other_dtypes(treedef, leaves, params) if any(r.keeps for r in rules) else param_leaves
    columns = [
        Columns(rule, state, updates, leaves, treedef, m, flat)
        for rule, state, m, flat in zip(rules, inner, asked, masks, strict=True)
    ]

    kinds: dict[Any, list[int]] = {}
    for i, g in enumerate(leaves):
        if g is not None:
            active = tuple(m is None or m[i] for m in masks)
            chosen = tuple(tuple((k, f[i]) for k, f in fs.items()) for fs in flags)
            start = None if dtypes is None else dtypes[i]
            kinds.setdefault((active, chosen, start, param_dtypes[i]), []).append(i)
    results, after = list(leaves), list(dtypes) if dtypes is not None else [None] * len(leaves)
    parts = []
    for (active, chosen, start, param_dtype), members in kinds.items():
        steps = tuple(
            Step(r, c.extended(more), on)
            for r, c, more, on in zip(rules, constants, chosen, active, strict=True)
        )
        stack = any(r.stack and on for r, on in zip(rules, active, strict=True))
        program = leaf_program(steps, start, param_dtype, wide, stack)
        rows = [(leaves[i], param_leaves[i], [c.row(i) for c in columns]) for i in members]
        parts.append((program, rows))
        if wide:
            for i, (g, param, fields) in zip(members, rows, strict=True):
                dtype = jnp.result_type(g) if start is None else start
                known = param_dtype if param is None else jnp.result_type(param)
                for step, of_step in zip(steps, fields, strict=True):
                    dtype = step.dtype_after(dtype, known, of_step)
                after[i] = dtype
    try:
        outputs = _outputs(parts, shared)
    except (TypeError, ValueError) as e:
        for (_, rows), members in zip(parts, kinds.values(), strict=True):
            if (misfitting := misfit(rules, rows, members, updates)) is not None:
                raise StructureError(misfitting) from e
        raise
    for members, made in zip(kinds.values(), outputs, strict=True):
        for i, (u, fields) in zip(members, made, strict=True):
            results[i] = u
            for column, new in zip(columns, fields, strict=True):
                column.put(i, new)
    new_states = [
        MaskedState(column.state()) if rule.mask else column.state()
        for rule, column in zip(rules, columns, strict=True)
    ]
    return treedef.unflatten(results), new_states, after


def _outputs(parts: Sequence[tuple[Any, list[Any]]], shared: Any) -> list[list[Any]]:
    if reach_now() is not None:
        for program, rows in parts:
            for row in rows:
                check_elementwise(program.name, program.one, row, shared)
    return run_programs(parts, shared)


def _inside(rule: Any, state: Any) -> Any:
    """The state of a rule, without what a mask puts around it."""
    if not rule.mask:
        return state
    if not hasattr(state, "inner_state"):
        raise _of_another(rule, state)
    return state.inner_state


def _of_another(rule: Any, state: Any) -> StructureError:
    return StructureError(
        f"{rule.name}: update() got {type(state).__name__}, the state of another transformation. Call init(params) of "
        "this one first and hand its result to update."
    )


def _resolve(rule: Any, state: Any) -> dict[str, Any]:
    """The hyperparameters of this update: schedules evaluated at the count of updates so far."""
    values = {}
    for name, value in rule.hyperparams.items():
        if callable(value):
            if "count" not in getattr(state, "_fields", ()):
                raise ArgumentError(
                    f"{rule.name}: {name} is a schedule, but this state holds no count; it was made for a number. Call "
                    "init(params) of the transformation with the schedule."
                )
            # An array, even where a schedule in plain Python returns a float: the float would be compiled in.
            value = jnp.asarray(value(state.count))
        values[name] = bound(value)
    return values


def _lookup(rule: Any, fn: Any, names: Sequence[str], *sources: Any) -> dict[str, Any]:
    out = {}
    for name in names:
        for source in sources:
            if name in source:
                out[name] = source[name]
                break
        else:
            if name in rule.wiring.optional:
                continue
            if name in rule.extra:
                raise ArgumentError(
                    f"{rule.name} needs the extra argument {name}. Call update(gradients, state, params, {name}=...)."
                )
            raise ArgumentError(rule.unknown(name, fn, {k for source in sources for k in source}))
    return out


def _other_fields(rule: Any, state: Any) -> dict[str, Any]:
    """The fields of the state that belong to no leaf."""
    return {f: getattr(state, f) for f in getattr(state, "_fields", ()) if f not in rule.wiring.fields}


def _declared(rule: Any, extra: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in extra.items() if k in rule.extra} if rule.extra else {}


def _measure(
    rule: Any, mask: Any, state: Any, values: dict[str, Any], updates: Any, params: Any, extra: dict[str, Any]
) -> dict[str, Any]:
    if rule.measure is None:
        return {}
    if rule.mask:
        params = None if params is None else rule.mask.hide(params, mask)
        updates = rule.mask.hide(updates, mask)
    fields = {f: getattr(state, f) for f in getattr(state, "_fields", ())}
    wants = _lookup(
        rule, rule.measure, rule.wiring.measure, values, rule.options, fields, _declared(rule, extra)
    )
    return rule.measure(updates, params, **wants)


def _scalars(
    rules: Sequence[Any],
    states: Sequence[Any],
    values: Sequence[dict[str, Any]],
    measured: dict[str, Any],
    extra: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Runs every `scalars` in one compiled call: what they computed, and the states with their new scalar fields."""
    keys, inputs = [], []
    for i, (rule, state) in enumerate(zip(rules, states, strict=True)):
        fields = _other_fields(rule, state)
        found = {}
        if rule.scalars is not None:
            wants = [n for n in rule.wiring.scalars if n != "count"]
            sources = measured if i == 0 else {}, values[i], rule.options, fields, _declared(rule, extra)
            found = {k: plain(v) for k, v in _lookup(rule, rule.scalars, wants, *sources).items()}
        options = {k: found.pop(k) for k in list(found) if k in rule.options}
        if "count" in fields:
            found["count"] = fields["count"]
        wants_count = "count" in rule.wiring.scalars and "count" in fields
        keys.append((rule.name, rule.scalars, wants_count, Constants(options)))
        inputs.append(found)
    if not any(inputs) and not any(rule.scalars for rule in rules):
        return [{} for _ in rules], list(states)
    outputs = scalar_program(tuple(keys))(inputs)
    computed, new_states = [], []
    for rule, state, out in zip(rules, states, outputs, strict=True):
        fields = _other_fields(rule, state)
        own = {k: like(v, fields[k], rule.name) for k, v in out.items() if k in fields}
        new_states.append(state._replace(**own) if own else state)
        computed.append({k: v for k, v in out.items() if k not in own})
    return computed, new_states


def _arguments(
    rule: Any, state: Any, values: dict[str, Any], computed: dict[str, Any], extra: dict[str, Any]
) -> tuple[dict[str, Any], Constants]:
    """The keyword arguments of a rule: arrays that all leaves share, and constants to compile in."""
    constants = {
        k: v for k, v in values.items() if isinstance(v, int | float | complex) and k not in computed
    } | dict(rule.options)
    fields = _other_fields(rule, state)
    found = _lookup(
        rule, rule.rule, rule.wiring.wants, computed, values, rule.options, fields, _declared(rule, extra)
    )
    static = {k: found.pop(k) for k in list(found) if k in constants or found[k] is None}
    return found, Constants(static)
