"""Schedules against the installed Optax: names, signatures, values."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.schedules as theirs
import pytest

import nablax.schedules as ours
from schedules.schedule_cases import CASES, IDS

COVERED_BY_CORE = {"Schedule"}
COVERED_BY_WRAPPERS = {
    "inject_hyperparams",
    "inject_stateful_hyperparams",
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
}


def public(module):
    return {n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)}


FURTHER = {"WrappedScheduleState"}  # private in Optax


def test_names():
    assert public(ours) - FURTHER == public(theirs) - COVERED_BY_CORE - COVERED_BY_WRAPPERS


def test_every_schedule_has_a_case():
    functions = {n for n in public(ours) if inspect.isfunction(getattr(ours, n))}
    assert {name for name, _, _ in CASES} == functions - {"join_schedules"}


@pytest.mark.parametrize("name", sorted(public(ours) - FURTHER - {"StatefulSchedule"}))
def test_signature(name):
    mine = inspect.signature(getattr(ours, name)).parameters
    reference = inspect.signature(getattr(theirs, name)).parameters
    assert [(p.name, p.default, p.kind) for p in mine.values()] == [
        (p.name, p.default, p.kind) for p in reference.values()
    ]


def test_stateful_protocol_has_the_same_methods():
    methods = ("init", "update", "__call__")
    assert all(
        list(inspect.signature(getattr(ours.StatefulSchedule, m)).parameters)
        == list(inspect.signature(getattr(theirs.StatefulSchedule, m)).parameters)
        for m in methods
    )


@functools.cache
def reference():
    """Optax's values of all cases in float64: one program."""
    with jax.enable_x64(True):
        curves = [getattr(theirs, name)(*args, **kwargs) for name, args, kwargs in CASES]
        every = jax.jit(lambda count: [jnp.asarray(f(count), jnp.float64) for f in curves])
        return np.array([every(jnp.array(c)) for c in range(14)]).T


@pytest.mark.parametrize("case", range(len(CASES)), ids=IDS)
def test_values(case):
    name, args, kwargs = CASES[case]
    expected = reference()[case]
    known = np.isfinite(
        expected
    )  # compiled, Optax's (1 - t / T)^0.5 may round to a root of a negative number
    mine = getattr(ours, name)(*args, **kwargs)(np.arange(14))
    with jax.enable_x64(True):
        precise = getattr(ours, name)(*args, **kwargs)(np.arange(14))
    np.testing.assert_allclose(mine[known], expected[known], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(precise[known], expected[known], rtol=1e-12, atol=1e-15)
    assert np.all(np.isfinite(precise))
    assert known.sum() >= 8


def kind(value):
    """Python's class of a number; dtype and weak type of an array."""
    return (value.dtype, jax.typeof(value).weak_type) if hasattr(value, "dtype") else type(value)


@pytest.mark.parametrize("given", [float, np.float32, np.float64, jnp.float32])
@pytest.mark.parametrize("case", range(len(CASES)), ids=IDS)
def test_dtypes_and_weak_types(case, given):
    """Of every schedule, at Python's ints, arrays and tracers; with and without x64."""
    name, args, kwargs = CASES[case]
    mine, reference = (
        getattr(m, name)(*jax.tree.map(lambda x: given(x) if isinstance(x, float) else x, args), **kwargs)
        for m in (ours, theirs)
    )
    for x64 in (False, True):
        with jax.enable_x64(x64):
            for count in (3, jnp.asarray(3), jnp.asarray(3, jnp.int32)):
                assert kind(mine(count)) == kind(reference(count))
            for traced in (3, jax.ShapeDtypeStruct((), jnp.int32)):
                assert kind(jax.eval_shape(mine, traced)) == kind(jax.eval_shape(reference, traced))


def test_join():
    def build(module):
        pieces = [module.linear_schedule(0.0, 1.0, 3), module.constant_schedule(0.5)]
        return module.join_schedules([*pieces, module.exponential_decay(1.0, 2, 0.5)], [3, 6])

    counts = np.arange(12)
    expected = [build(theirs)(int(c)) for c in counts]
    np.testing.assert_allclose(build(ours)(counts), expected, rtol=1e-6)
    # A schedule that is not ours takes part, and ours take part in theirs.
    mixed = ours.join_schedules([theirs.linear_schedule(0.0, 1.0, 3), ours.constant_schedule(2.0)], [3])
    np.testing.assert_allclose([mixed(1), mixed(jnp.array(7))], [1 / 3, 2.0], rtol=1e-6)
    foreign = theirs.join_schedules([ours.linear_schedule(0.0, 1.0, 3), ours.constant_schedule(2.0)], [3])
    np.testing.assert_allclose([foreign(1), foreign(7)], [1 / 3, 2.0], rtol=1e-6)


def test_stateful():
    mine, reference = (m.WrappedSchedule(m.linear_schedule(0.0, 1.0, 4)) for m in (ours, theirs))
    state, expected = mine.init(), reference.init()
    for _ in range(3):
        assert type(state).__name__ == type(expected).__name__
        assert state._fields == expected._fields
        np.testing.assert_allclose(mine(state, loss=1.0), reference(expected), rtol=1e-6)
        state, expected = mine.update(state, loss=1.0), reference.update(expected)
