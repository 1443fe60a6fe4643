"""Every numeric argument of every optimizer and wrapper is live: a change means what another call would have meant."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue import OPTIMIZERS, extras, square_sum
from nablax import core, transforms
from nablax.core import HyperparameterError, StructureError, hyperparams, with_hyperparams
from nablax.optimizers import adam, adamw, lion, muon, sgd
from nablax.runtime import Optimizer, offload_state, quantize_state, train_step

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4), "b": jnp.array([0.5, -2.0, 1.0])}
SCHEDULES = {
    "sgd of a schedule": lambda lr: sgd(lambda count: lr / (count + 1)),
    "adamw of schedules": lambda lr: adamw(
        lambda count: lr / (count + 1), b1=lambda count: 0.9, weight_decay=0.1
    ),
}
WRAPPERS = {
    "MultiSteps": lambda lr: transforms.MultiSteps(sgd(lr), 2),
    "apply_if_finite": lambda lr: transforms.apply_if_finite(adam(lr), 3),
    "masked": lambda lr: transforms.masked(core.chain(adam(lr)), {"w": True, "b": False}),
    "partition": lambda lr: transforms.partition({"a": adam(lr), "b": sgd(lr, 0.9)}, {"w": "a", "b": "b"}),
    "named_chain": lambda lr: core.named_chain(("clip", transforms.clip(1.0)), ("step", adam(lr))),
    "flatten": lambda lr: transforms.flatten(adam(lr)),
    "quantize_state": lambda lr: quantize_state(adam(lr), min_size=2),
    "offload_state": lambda lr: offload_state(adam(lr)),
    "reduce_on_plateau": lambda lr: core.chain(adam(lr), transforms.reduce_on_plateau(patience=2)),
    "add_noise": lambda lr: core.chain(transforms.add_noise(0.1, 0.5, 0), sgd(lr)),
    "clip_by_global_norm": lambda lr: core.chain(transforms.clip_by_global_norm(0.5), sgd(lr)),
    "adaptive_grad_clip": lambda lr: core.chain(transforms.adaptive_grad_clip(0.01), sgd(lr)),
    "monitor": lambda lr: core.chain(
        transforms.monitor({"n": transforms.measure_with_ema(square_sum, 0.9)}), sgd(lr)
    ),
}
ALL = {**OPTIMIZERS, **WRAPPERS, **SCHEDULES}


def gradient(params, name=""):
    """Of |p|^2 and something; for `dpsgd`, that of a batch of one example."""
    return jax.tree.map(lambda p: (2 * p + 0.1)[None] if name == "dpsgd" else 2 * p + 0.1, params)


def extra_of(name, params):
    needs = {"reduce_on_plateau": "momo"}.get(name, name)
    return extras(needs, square_sum(params), square_sum)


def step_of(name, *txs):
    """A step of the functional loop of each, with the numbers compiled in, in one program."""

    def step(tx, params, state):
        updates, state = tx.update(gradient(params, name), state, params, **extra_of(name, params))
        return core.apply_updates(params, updates), state

    return jax.jit(lambda *runs: [step(tx, *run) for tx, run in zip(txs, runs, strict=True)])


def steps(opt, name, n):
    for _ in range(n):
        opt.step(gradient(opt.params, name), **extra_of(name, opt.params))


def leaves(tree):
    """Copies of all arrays, of keys their bits."""

    def bits(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return [np.array(bits(x)) for x in jax.tree.leaves(tree)]


def same_state(*txs):
    """Whether the transformations start with states of one kind; a schedule's count may stand by unused."""
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), jax.eval_shape(tx.init, PARAMS)) for tx in txs]
    integers = all(not callable(v) for v in hyperparams(txs[0]).values())
    return not integers or str(kinds[0]) == str(kinds[1])


def other_values(tx, path, value):
    """Values that the call takes instead of this one."""
    if isinstance(value, tuple):
        return [tuple(v * 0.9 for v in value)]
    if callable(value):
        return [0.03]
    candidates = (
        [value + 1, value - 1] if isinstance(value, int) else [value * 0.7, value + 0.25, value - 0.25]
    )
    good = []
    for new in candidates:
        if new == value:
            continue
        try:
            with_hyperparams(tx, {path: new})
        except (HyperparameterError, core.ArgumentError):
            continue
        good.append(new)
    return good[:1]


@pytest.mark.parametrize("name", ALL)
def test_a_change_is_what_another_call_would_have_meant(name):
    tx = ALL[name](0.1)
    opt = Optimizer(tx, PARAMS)
    steps(opt, name, 3)
    saved = opt.state_dict()
    params, state = jax.tree.map(jnp.array, (opt.params, opt.state))
    found = hyperparams(tx)
    assert found or name == "cocob"
    changed, refused = {}, 0
    for path, value in found.items():
        for new in other_values(tx, path, value):
            opt.load_state_dict(saved)
            rebuilt = with_hyperparams(tx, {path: new})
            if not same_state(tx, rebuilt):
                with pytest.raises(StructureError, match="needs another state"):
                    opt.hyperparameters[path] = new
                refused += 1
                continue
            opt.hyperparameters[path] = new
            assert opt.hyperparameters[path] == new
            steps(opt, name, 2)
            changed[f"{name}: {path} = {new}"] = rebuilt, leaves((opt.params, opt.state))
    assert len(changed) + refused == len(found)  # each has another value
    step = step_of(name, *(rebuilt for rebuilt, _ in changed.values()))
    expected = [(params, state)] * len(changed)
    for _ in range(2):
        expected = step(*expected)
    # Newton-Schulz enlarges last digits
    rtol, atol = (1e-3, 1e-4) if name == "muon" else (2e-6, 1e-7)
    for (change, (_, got)), run in zip(changed.items(), expected, strict=True):
        for a, b in zip(got, leaves(run), strict=True):
            np.testing.assert_allclose(a, b, rtol, atol, err_msg=change)


@pytest.mark.parametrize(
    "make", [adam, adamw, lambda lr: sgd(lr, 0.9), lion], ids=["adam", "adamw", "sgd", "lion"]
)
def test_open_numbers_give_the_last_digit_of_constants(make):
    tx = make(0.003)
    opt, params = Optimizer(tx, PARAMS), PARAMS
    state, step = tx.init(PARAMS), step_of("adam", tx)
    for _ in range(5):
        opt.step(gradient(opt.params))
        [(params, state)] = step((params, state))
    jax.tree.map(np.testing.assert_array_equal, opt.state, state)
    jax.tree.map(np.testing.assert_array_equal, opt.params, params)


def test_a_value_that_changes_the_structure_makes_another_program():
    opt = Optimizer(lion(0.1), PARAMS)
    opt.step(gradient(opt.params))
    opt.hyperparameters["b2"] = 0.0
    opt.step(gradient(opt.params))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(opt.params))
    before = opt.compilations
    opt.hyperparameters["b2"] = 0.5
    opt.hyperparameters["learning_rate"] = 0.2
    opt.step(gradient(opt.params))
    assert opt.compilations == before  # the first program serves again


def test_numbers_are_checked_as_in_the_call_and_read_back_exactly():
    opt = Optimizer(adamw(0.1), PARAMS)
    for name, bad in [("b1", 2.0), ("b2", -0.1), ("eps", -1.0), ("learning_rate", math.nan)]:
        with pytest.raises(HyperparameterError, match=name):
            opt.hyperparameters[name] = bad
    with pytest.raises(core.ArgumentError, match="takes a number or None, got str"):
        opt.hyperparameters["b1"] = "0.9"
    assert dict(opt.hyperparameters) == hyperparams(adamw(0.1))
    for value in (0.1, 1 / 3, 1e-30, -0.25):
        opt.hyperparameters["weight_decay"] = value
        assert opt.hyperparameters["weight_decay"] == value


def test_several_groups_are_set_by_a_pattern_or_scaled():
    tx = transforms.partition({"slow": sgd(0.1), "fast": adam(0.4)}, {"w": "slow", "b": "fast"})
    opt = Optimizer(tx, PARAMS)
    opt.step(gradient(opt.params))
    assert opt.metrics["learning_rate"] == {"partition/slow": 0.1, "partition/fast": 0.4}
    with pytest.raises(
        KeyError, match="partition/slow/learning_rate, partition/fast/learning_rate.*'[*]/learning_rate'"
    ):
        opt.hyperparameters["learning_rate"] = 0.2
    opt.hyperparameters.scale("*/learning_rate", 0.5)
    assert opt.hyperparameters["slow/learning_rate"] == 0.05
    opt.hyperparameters["*/learning_rate"] = 0.2
    opt.step(gradient(opt.params))
    assert opt.metrics["learning_rate"] == {"partition/slow": 0.2, "partition/fast": 0.2}
    assert opt.hyperparameters["*/learning_rate"] == 0.2


def test_one_argument_used_twice_is_one_hyperparameter():
    opt = Optimizer(muon(1e-2), PARAMS)
    opt.hyperparameters["learning_rate"] = 0.0
    before = jax.tree.map(np.asarray, opt.params)
    opt.step(gradient(opt.params))
    jax.tree.map(np.testing.assert_array_equal, opt.params, before)
    assert opt.metrics["learning_rate"] == 0.0


def test_optimizers_of_one_structure_share_their_program():
    first = Optimizer(core.chain(transforms.clip(1.0), adamw(0.11)), PARAMS)
    first.step(gradient(PARAMS))
    second = Optimizer(core.chain(transforms.clip(2.0), adamw(0.07, b1=0.5)), PARAMS)
    second.step(gradient(PARAMS))
    assert second.compilations == 0
    tx = core.chain(transforms.clip(2.0), adamw(0.07, b1=0.5))
    [(expected, _)] = step_of("adam", tx)((PARAMS, tx.init(PARAMS)))
    jax.tree.map(np.testing.assert_array_equal, second.params, expected)


def test_a_foreign_transformation_says_that_it_is_foreign():
    import optax

    opt = Optimizer(optax.adam(0.1), PARAMS)
    with pytest.raises(core.ArgumentError, match="transformation of another library"):
        opt.hyperparameters["learning_rate"] = 0.2


def test_with_hyperparams_takes_a_schedule_in_the_place_of_a_number():
    tx = with_hyperparams(sgd(0.1), {"sgd/learning_rate": lambda count: 0.5**count})
    state, params = tx.init(PARAMS), PARAMS
    for expected in (1.0, 0.5, 0.25):
        updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state)
        np.testing.assert_allclose(updates["b"], -expected)


def test_metrics_never_lose_the_learning_rate():
    from nablax.games import extragradient

    opt = Optimizer(extragradient(lambda k: 0.5 / (k + 1)), PARAMS)
    opt.step(gradient(opt.params))
    assert opt.metrics["learning_rate"] == 0.5
    assert opt.hyperparameters["learning_rate"] == 0.5
    opt.step(gradient(opt.params))
    assert opt.hyperparameters["learning_rate"] == 0.25


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_init_never_returns_a_buffer_twice(name):
    params = jax.tree.map(lambda p: jnp.array(p, copy=True), PARAMS)
    state = OPTIMIZERS[name](0.1).init(params)
    seen = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((params, state)) if x.size]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("library", ["nablax", "optax"])
def test_metrics_read_injected_rates_from_the_state(library):
    module = __import__(library)
    tx = module.inject_hyperparams(module.sgd)(lambda count: 0.5 / (count + 1))
    opt = Optimizer(tx, PARAMS)
    for expected in (0.5, 0.25):
        opt.step(gradient(opt.params))
        assert opt.metrics["learning_rate"] == expected
    step = train_step(square_sum, tx, donate=False)
    params, state = PARAMS, tx.init(PARAMS)
    for expected in (0.5, 0.25):
        params, state, metrics = step(params, state)
        assert float(metrics["learning_rate"]) == expected

    groups = {"w": module.inject_hyperparams(module.sgd)(0.25), "b": sgd(0.1)}
    opt = Optimizer(transforms.partition(groups, {"w": "w", "b": "b"}), PARAMS)
    opt.step(gradient(opt.params))
    assert opt.metrics["learning_rate"] == {"partition/b": 0.1, "inner_states/w/inner_state": 0.25}


def test_metrics_of_a_foreign_transformation_have_no_learning_rate():
    import optax

    opt = Optimizer(optax.sgd(0.1), PARAMS)
    opt.step(gradient(opt.params))
    assert "learning_rate" not in opt.metrics
