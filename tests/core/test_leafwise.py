"""The heart: precision, None and masked leaves, one trace a kind of leaf, errors that say where."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import core
from nablax.core import (
    ArgumentError,
    MissingParamsError,
    StructureError,
    chain,
    fields,
    first_moment,
    leafwise,
    moment_like,
    zero_count,
)
from nablax.optimizers import adam, adamw, scale_by_adam
from nablax.transforms import TraceState, add_decayed_weights, clip, scale_by_learning_rate


class CountedState(NamedTuple):
    count: Any
    total: Any


def counting(traces, hyperparams=None, scalars=None):
    """A rule that adds up gradients and notes each of its traces."""

    def rule(g, total, *, factor):
        traces.append((g.shape, g.dtype))
        return factor * (total + g), total + g

    def init(params):
        return CountedState(zero_count(), jax.tree.map(jnp.zeros_like, params))

    return leafwise(rule, init, name="counting", hyperparams=hyperparams or {"factor": 2.0}, scalars=scalars)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_rule_computes_in_float32_and_the_update_has_the_gradients_dtype(dtype):
    seen = []

    def rule(g, *, step):
        seen.append(g.dtype)
        # 1 + 1/512 is 1 in bfloat16: only a float32 intermediate keeps the difference.
        return (1.0 + step) * g - g

    tx = leafwise(rule, name="small", hyperparams={"step": 2.0**-9})
    u, _ = tx.update(jnp.ones(3, dtype), tx.init(None))
    assert u.dtype == dtype
    assert seen == [jnp.float32]
    np.testing.assert_array_equal(np.asarray(u, np.float32), 2.0**-9)


def test_fields_keep_their_dtype_whatever_the_rule_returns():
    traces = []
    tx = counting(traces)
    state = tx.init(jnp.zeros(2, jnp.bfloat16))
    _, after = tx.update(jnp.ones(2), state)
    assert after.total.dtype == jnp.bfloat16


def test_float64_and_complex_stay_what_they_are():
    tx = counting([])
    u, _ = tx.update(jnp.array([1 + 2j]), tx.init(jnp.zeros(1, complex)))
    assert u.dtype == jnp.complex64
    with jax.enable_x64(True):
        u, _ = tx.update(jnp.ones(2, jnp.float64), tx.init(jnp.zeros(2, jnp.float64)))
        assert u.dtype == jnp.float64


def test_none_leaves_pass_and_keep_their_state():
    tx = scale_by_adam()
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    state = tx.init(params)
    u, after = tx.update({"a": jnp.ones(2), "b": None}, state)
    assert u["b"] is None
    np.testing.assert_array_equal(after.mu["b"], 0.0)
    assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_one_trace_for_each_distinct_shape_and_dtype(wrap):
    traces = []
    tx = counting(traces)
    params = [jnp.ones((2, 2))] * 40 + [jnp.ones(3)] * 7 + [jnp.ones(3, jnp.bfloat16)]
    state = tx.init(params)
    update = wrap(tx.update)
    _, state = update(params, state)
    update(params, state)
    assert sorted(map(str, traces)) == sorted(
        map(str, [((2, 2), jnp.dtype("float32")), ((3,), jnp.dtype("float32")), ((3,), jnp.dtype("float32"))])
    )


def test_an_eager_update_is_one_compiled_call_a_leaf_and_one_for_the_scalars():
    tx = adamw(1e-3)
    params = [jnp.ones(5)] * 12
    state = tx.init(params)
    tx.update(params, state, params)
    with jax.log_compiles(False), count_executions() as calls:
        tx.update(params, state, params)
    assert len(calls) == len(params) + 1, calls


class count_executions:
    """Counts dispatches of compiled programs through the profiler's own trace of them."""

    def __enter__(self):
        from nablax.core import _pass, _program

        self.calls = []
        self.saved = _program.Program.map, _pass.scalar_program
        calls = self.calls

        def each(program, rows, shared):
            calls.extend(["leaf"] * len(rows))
            return self.saved[0](program, rows, shared)

        def scalars(keys):
            calls.append("scalars")
            return self.saved[1](keys)

        _program.Program.map, _pass.scalar_program = each, scalars
        return calls

    def __exit__(self, *exc):
        from nablax.core import _pass, _program

        _program.Program.map, _pass.scalar_program = self.saved


def test_equal_hyperparameters_share_one_program_and_unequal_ones_do_not():
    from nablax.core._compiled import leaf_program

    params = jnp.ones(7)

    def run(**kw):
        tx = scale_by_adam(**kw)
        tx.update(params, tx.init(params))

    run(b1=0.55)
    before = leaf_program.cache_info().misses
    run(b1=0.55)
    assert leaf_program.cache_info().misses == before
    run(b1=0.56)
    assert leaf_program.cache_info().misses == before + 1


def test_constants_of_equal_value_and_unequal_kind_are_told_apart():
    kinds = []

    def rule(g, *, option):
        kinds.append(option)
        return g * option

    for option in (1, 1.0, True, 0.0, -0.0):
        tx = leafwise(rule, name="kinds", options={"option": option})
        tx.update(jnp.ones(2), tx.init(None))
    assert [repr(k) for k in kinds] == ["1", "1.0", "True", "0.0", "-0.0"]


def test_joined_and_separate_passes_agree():
    parts = [clip(0.5), scale_by_adam(), add_decayed_weights(0.1), scale_by_learning_rate(0.3)]
    params = {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(())}
    grads = jax.tree.map(lambda p: 2 * p, params)
    joined = chain(*parts)
    u, state = joined.update(grads, joined.init(params), params)
    v = grads
    for part, s in zip(parts, state, strict=True):
        v, after = part.update(v, part.init(params), params)
        jax.tree.map(np.testing.assert_array_equal, after, s)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), u, v)


def test_chain_joins_the_rules_of_nested_chains_into_one_pass():
    tx = chain(clip(1.0), adamw(1e-3))
    assert [len(s) for s in core.body_of(tx).segments] == [4]


def test_a_schedule_in_plain_python_is_asked_every_step():
    tx = counting([], hyperparams={"factor": lambda count: [1.0, 10.0][int(count)]})
    state = tx.init(jnp.zeros(()))
    a, state = tx.update(jnp.ones(()), state)
    b, state = tx.update(jnp.zeros(()), state)
    assert (float(a), float(b)) == (1.0, 10.0)


def test_scalars_may_update_fields_of_the_state():
    def scalars(count, factor):
        return {"factor": factor * count, "count": count + 4}

    tx = counting([], scalars=scalars)
    u, state = tx.update(jnp.ones(()), tx.init(jnp.zeros(())))
    assert int(state.count) == 5
    assert float(u) == 2.0


def test_float32_leaves_stay_float32_beside_float64_scalars():
    with jax.enable_x64(True):
        params = jnp.ones(2, jnp.float32)
        tx = adam(lambda count: jnp.float64(1e-3) * (count + 1))
        u, state = jax.jit(tx.update)(params, tx.init(params))
        assert u.dtype == state[0].mu.dtype == state[0].nu.dtype == jnp.float32
        text = jax.jit(tx.update).lower(params, tx.init(params)).as_text()
        assert "tensor<2xf64>" not in text


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_shape_that_does_not_fit_is_named_with_its_path():
    tx = scale_by_adam()
    state = tx.init({"layer2": {"bias": jnp.zeros(4)}})
    with pytest.raises(StructureError) as e:
        tx.update({"layer2": {"bias": jnp.zeros(3)}}, state)
    assert str(e.value) == (
        "scale_by_adam: updates and state.mu differ at ['layer2']['bias']: shape (3,) against (4,)."
    )


def test_a_shape_that_would_broadcast_silently_is_refused_too():
    tx = scale_by_adam()
    state = tx.init({"w": jnp.zeros((4,))})
    with pytest.raises(StructureError, match=r"\['w'\]: shape \(1,\) against \(4,\)"):
        tx.update({"w": jnp.zeros((1,))}, state)


def test_errors_name_the_leaf_under_jit_too():
    tx = scale_by_adam()
    grads = [jnp.zeros(2)] * 20 + [jnp.zeros(3)]
    with pytest.raises(
        StructureError, match=r"updates and state.mu differ at \[20\]: shape \(3,\) against \(2,\)"
    ):
        jax.jit(tx.update)(grads, tx.init([jnp.zeros(2)] * 21))


def test_a_missing_leaf_is_named():
    tx = scale_by_adam()
    with pytest.raises(StructureError, match=r"differ at \['b'\]: state.mu has no such leaf"):
        tx.update({"a": jnp.ones(1), "b": jnp.ones(1)}, tx.init({"a": jnp.ones(1)}))


def test_missing_params_show_the_right_call():
    tx = add_decayed_weights(0.1)
    with pytest.raises(
        MissingParamsError, match=r"add_decayed_weights reads the parameters.*update\(gradients, sta"
    ):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_a_schedule_needs_a_count():
    tx = leafwise(lambda g, *, bound: g * bound, name="clip", hyperparams={"bound": lambda count: 1.0})
    with pytest.raises(ArgumentError, match="clip: bound is a schedule, but this state holds no count"):
        tx.update(jnp.ones(2), tx.init(None))


def test_a_missing_extra_argument_is_named():
    def rule(g, *, value):
        return g * value

    tx = leafwise(rule, name="by_value", extra=("value",))
    with pytest.raises(ArgumentError, match="by_value needs the extra argument value"):
        tx.update(jnp.ones(2), tx.init(None))
    u, _ = chain(tx).update(jnp.ones(2), (tx.init(None),), None, value=3.0, unused=1)
    np.testing.assert_array_equal(u, 3.0)


def test_a_rule_that_asks_for_something_unknown_is_refused_when_it_is_made():
    def rule(g, mu, *, factor, facotr):
        return g * facotr, mu

    state = fields(TraceState, trace=first_moment())
    with pytest.raises(ArgumentError, match="rule: rule takes mu, which is no field of the state .trace."):
        leafwise(rule, state, hyperparams={"factor": 1.0, "facotr": 1.0})

    def wrong(g, trace, *, factor, facotr):
        return g * facotr, trace

    with pytest.raises(ArgumentError, match="wrong: wrong takes facotr, which is no hyperparameter.*factor"):
        leafwise(wrong, state, hyperparams={"factor": 1.0})
    tx = leafwise(wrong, state, hyperparams={"factor": 1.0}, scalars=lambda factor: {"twice": 2 * factor})
    with pytest.raises(
        ArgumentError, match="takes facotr, which is no hyperparameter"
    ):  # known once they have run
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_an_error_inside_a_rule_is_reported_as_itself():
    def rule(g, trace):
        raise ValueError("my own reason")

    tx = leafwise(rule, fields(TraceState, trace=first_moment()))
    with pytest.raises(ValueError, match="^my own reason"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_arrays_among_options_are_told_apart_by_what_they_hold():
    def rule(g, *, table):
        return g * table[1500]

    table = np.zeros(3000)
    outs = []
    for value in (1.0, 2.0):
        table = table.copy()
        table[1500] = value
        tx = leafwise(rule, options={"table": table})
        outs.append(float(tx.update(jnp.ones(()), ())[0]))
    assert outs == [1.0, 2.0]


def test_a_rule_must_keep_the_shape_of_its_leaf():
    def rule(g):
        return g.sum()

    tx = leafwise(rule, name="shrinks")
    with pytest.raises(StructureError, match=r"shrinks: the rule made an update of shape \(\)"):
        tx.update(jnp.ones(2), tx.init(None))


def _shrinks(g, *, decays):
    return g * 0.5 if decays else g


def test_flags_tell_the_rule_which_leaves_a_mask_selects():
    tx = leafwise(_shrinks, flags={"decays": lambda params: {"a": True, "b": False}})
    g = {"a": jnp.ones(2), "b": jnp.ones(2)}
    updates, _ = tx.update(g, tx.init(g))
    assert float(updates["a"][0]) == 0.5
    assert float(updates["b"][0]) == 1.0
    everywhere = leafwise(_shrinks, flags={"decays": None})
    updates, _ = everywhere.update(g, everywhere.init(g))
    assert float(updates["b"][0]) == 0.5


class _Remembers(NamedTuple):
    past: Any
    total: Any


def _follow(g, past):
    return g + past, g


def test_measure_may_ask_for_the_fields_of_the_rule_and_scalars_keep_their_dtype():
    def measure(updates, params, *, past):
        return {"seen": past["a"].sum()}

    def scalars(seen, total):
        return {"total": total + seen.astype(jnp.float32)}

    tx = leafwise(
        _follow, lambda p: _Remembers(p, jnp.zeros((), jnp.bfloat16)), measure=measure, scalars=scalars
    )
    g = {"a": jnp.ones(2)}
    _, state = tx.update(g, tx.init(g))
    assert float(state.total) == 2.0
    assert state.total.dtype == jnp.bfloat16


def test_a_real_dtype_keeps_the_moments_of_complex_leaves_complex():
    mu = moment_like({"z": jnp.ones(2, jnp.complex64), "x": jnp.ones(2)}, jnp.bfloat16)
    assert mu["z"].dtype == jnp.complex64
    assert mu["x"].dtype == jnp.bfloat16
