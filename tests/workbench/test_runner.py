"""The sweep is one program, and each run in it is what a plain loop would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import ArgumentError, apply_updates
from nablax.workbench import _runner
from nablax.workbench._optimizers import parse
from nablax.workbench._user_problem import load_problem
from workbench.small_problems import QUADRATIC, STREAM


@pytest.fixture
def quadratic(tmp_path):
    (tmp_path / "quadratic.py").write_text(QUADRATIC)
    return load_problem(str(tmp_path / "quadratic.py"))


@pytest.fixture
def stream(tmp_path):
    (tmp_path / "stream.py").write_text(STREAM)
    return load_problem(str(tmp_path / "stream.py"))


def count_compilations(function):
    """How many programs XLA compiled (or loaded from the persistent cache) meanwhile."""
    events = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(events)


@pytest.mark.parametrize(("rates", "seeds", "steps"), [([0.1], 1, 2), ([0.01, 0.03, 0.1, 0.3], 3, 50)])
def test_one_compiled_program_for_all_rates_seeds_and_stretches(quadratic, rates, seeds, steps):
    start = _runner.Start.of(quadratic, seeds)
    count = count_compilations(lambda: _runner.sweep(quadratic, parse("lion"), rates, start, steps))
    assert count == 1


def plain_loop(problem, tx, params, key, steps, batches=None):
    step = jax.jit(jax.value_and_grad(problem.loss))
    state, losses = tx.init(params), []
    for count in range(steps):
        batch = problem.batches(jax.random.fold_in(key, count)) if batches is None else batches[count]
        loss, grads = step(params, batch)
        updates, state = tx.update(grads, state, params)
        params = apply_updates(params, updates)
        losses.append(float(loss))
    return params, losses


def test_runs_are_those_of_a_plain_loop(quadratic):
    rates, steps = [0.01, 0.1], 23  # 23 steps are no multiple of the stretch of 2
    spec = parse("adamw:weight_decay=0.1,schedule=cosine")
    start = _runner.Start.of(quadratic, 2)
    swept = _runner.sweep(quadratic, spec, rates, start, steps)
    assert swept.losses.shape == (2, 2, steps)
    assert swept.metric_steps[-1] == steps
    for i, rate in enumerate(rates):
        for seed in range(2):
            init_key, key = jax.random.split(jax.random.key(seed))
            params = quadratic.init(init_key)
            params, losses = plain_loop(quadratic, spec.build(rate, steps), params, key, steps)
            np.testing.assert_allclose(swept.losses[i, seed], losses, rtol=2e-5)
            np.testing.assert_allclose(swept.metrics[i, seed, -1], quadratic.evaluate(params), rtol=2e-5)


def test_vmap_and_map_agree(quadratic, monkeypatch):
    start = _runner.Start.of(quadratic, 2)
    mapped = _runner.sweep(quadratic, parse("adam"), [0.01, 0.1], start, 10)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    side_by_side = _runner.sweep(quadratic, parse("adam"), [0.01, 0.1], start, 10)
    np.testing.assert_allclose(mapped.losses, side_by_side.losses, rtol=1e-5)


def test_an_iterator_of_batches_is_read_in_order_and_again_when_it_ends(stream):
    assert stream.streams
    steps = 23  # more than three passes of 7 batches
    swept = _runner.sweep(stream, parse("sgd"), [0.1], _runner.Start.of(stream, 1), steps)
    key = jax.random.split(jax.random.key(0))[1]
    batches = [b for i in range(4) for b in stream.batches(jax.random.fold_in(key, i))]
    _, losses = plain_loop(stream, parse("sgd").build(0.1, steps), jnp.zeros(2), key, steps, batches)
    np.testing.assert_allclose(swept.losses[0, 0], losses, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        (
            "ragged",
            STREAM.replace("range(7)", "(2, 2, 3)").replace("standard_normal(2)", "standard_normal(_)"),
            r"ragged\.py: batches\(key\): all batches must have one shape",
        ),
        (
            "late",
            STREAM
            + "\ngood = batches\ndef batches(key):\n    yield from good(key)\n    raise RuntimeError('bad file')\n",
            r"late\.py: batches\(key\): RuntimeError: bad file",
        ),
    ],
)
def test_what_is_wrong_with_batches_is_said(tmp_path, name, source, said):
    file = tmp_path / f"{name}.py"
    file.write_text(source)
    problem = load_problem(str(file))
    with pytest.raises(ArgumentError, match=said):
        _runner.sweep(problem, parse("sgd"), [0.1], _runner.Start.of(problem, 1), 60)


def test_a_loss_in_bfloat16_at_any_number_of_steps(tmp_path):
    file = tmp_path / "half.py"
    file.write_text(
        QUADRATIC
        + "\nfull = loss\ndef loss(params, batch):\n    return full(params, batch).astype('bfloat16')\n"
    )
    problem = load_problem(str(file))
    swept = _runner.sweep(problem, parse("sgd"), [0.1], _runner.Start.of(problem, 1), 47)
    assert swept.losses.shape == (1, 1, 47)
    assert swept.losses.dtype == np.float32


@pytest.mark.parametrize("steps", [1, 20, 47])
def test_it_ticks_as_often_as_it_says(quadratic, steps):
    ticks = []
    start = _runner.Start.of(quadratic, 1)
    _runner.sweep(quadratic, parse("sgd"), [0.1], start, steps, lambda: ticks.append(1))
    assert len(ticks) == _runner.ticks(steps)


def test_bytes_of_state_for_each_parameter(quadratic):
    start = _runner.Start.of(quadratic, 1)
    sizes = [_runner.state_bytes(parse(name), start, 1) for name in ("sgd", "momentum", "adam")]
    count = 4  # int32
    assert sizes == [0.0, 4.0, (2 * 3 * 4 + count) / 3]
