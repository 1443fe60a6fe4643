"""The sweep is one program, and each run in it is what a plain loop would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from nablax.core import ArgumentError, apply_updates
from nablax.tree import norm
from nablax.workbench._catalogue import parse
from nablax.workbench._problems import PROBLEMS, load_problem
from nablax.workbench._running import Start, Unsuited, parse_budget, steps_in, sweep
from nablax.workbench._running._budget import tokens
from nablax.workbench._running._runs import Runs, means, pieces, smoothed
from nablax.workbench._running._search import cost, rungs, survivors
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


@pytest.mark.parametrize(
    ("rates", "seeds", "steps", "search"),
    [([0.1], 1, 2, "grid"), ([0.01, 0.03, 0.1, 0.3], 3, 50, "grid"), ([0.01, 0.03, 0.1], 2, 50, "halving")],
)
def test_one_compiled_program_for_all_rates_seeds_and_stretches(quadratic, rates, seeds, steps, search):
    start = Start.of(quadratic, range(seeds))
    count = count_compilations(lambda: sweep(quadratic, parse("lion"), rates, start, steps, search))
    assert count == 1


def plain_loop(problem, tx, params, key, steps, batches=None):
    step = jax.jit(jax.value_and_grad(problem.loss))
    state, losses, ratios = tx.init(params), [], []
    for count in range(steps):
        batch = problem.batches(jax.random.fold_in(key, count)) if batches is None else batches[count]
        loss, grads = step(params, batch)
        updates, state = tx.update(grads, state, params)
        ratios.append(float(norm(updates) / norm(params)) if norm(params) > 0 else 0.0)
        params = apply_updates(params, updates)
        losses.append(float(loss))
    return params, losses, ratios


def test_runs_are_those_of_a_plain_loop(quadratic):
    rates, steps = [0.01, 0.1], 23  # 23 steps are no multiple of the stretch of 2
    spec = parse("adamw:weight_decay=0.1,schedule=cosine")
    runs = sweep(quadratic, spec, rates, Start.of(quadratic, (0, 3)), steps)
    assert runs.losses.shape == (4, steps)
    assert runs.metric_steps[-1] == steps
    for i, (rate, seed) in enumerate(zip(runs.rates, runs.seeds, strict=True)):
        init_key, key = jax.random.split(jax.random.key(seed))
        params = quadratic.init(init_key)
        params, losses, ratios = plain_loop(quadratic, spec.build(rate, steps), params, key, steps)
        np.testing.assert_allclose(runs.losses[i], losses, rtol=2e-5)
        np.testing.assert_allclose(runs.ratios[i], ratios, rtol=2e-4)
        np.testing.assert_allclose(runs.metrics[i, -1], quadratic.evaluate(params), rtol=2e-5)
    assert set(runs.seeds) == {0, 3}


def test_vmap_and_map_agree(quadratic, monkeypatch):
    start = Start.of(quadratic, range(2))
    mapped = sweep(quadratic, parse("adam"), [0.01, 0.1], start, 10)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    side_by_side = sweep(quadratic, parse("adam"), [0.01, 0.1], start, 10)
    np.testing.assert_allclose(mapped.losses, side_by_side.losses, rtol=1e-5)
    np.testing.assert_array_equal(mapped.done, side_by_side.done)


def test_an_iterator_of_batches_is_read_in_order_and_again_when_it_ends(stream):
    assert stream.streams
    steps = 23  # more than three passes of 7 batches
    runs = sweep(stream, parse("sgd"), [0.1], Start.of(stream, [0]), steps)
    key = jax.random.split(jax.random.key(0))[1]
    batches = [b for i in range(4) for b in stream.batches(jax.random.fold_in(key, i))]
    _, losses, _ = plain_loop(stream, parse("sgd").build(0.1, steps), jnp.zeros(2), key, steps, batches)
    np.testing.assert_allclose(runs.losses[0], losses, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        (
            "ragged",
            STREAM.replace("range(7)", "(2, 2, 3)").replace("standard_normal(2)", "standard_normal(_)"),
            r"ragged\.py: batches\(key\): all batches must have one shape.*drop_last=True",
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
        sweep(problem, parse("sgd"), [0.1], Start.of(problem, [0]), 60)


def test_a_loss_in_bfloat16_at_any_number_of_steps(tmp_path):
    file = tmp_path / "half.py"
    file.write_text(
        QUADRATIC
        + "\nfull = loss\ndef loss(params, batch):\n    return full(params, batch).astype('bfloat16')\n"
    )
    problem = load_problem(str(file))
    runs = sweep(problem, parse("sgd"), [0.1], Start.of(problem, [0]), 47)
    assert runs.losses.shape == (1, 47)
    assert runs.losses.dtype == np.float32


@pytest.mark.parametrize(("steps", "search"), [(1, "grid"), (47, "grid"), (47, "halving")])
def test_it_ticks_from_0_to_1(quadratic, steps, search):
    parts = []
    sweep(quadratic, parse("sgd"), [0.1, 0.2, 0.3], Start.of(quadratic, [0]), steps, search, parts.append)
    assert parts[0] == 0
    assert parts[-1] == pytest.approx(1)
    assert parts == sorted(parts)


def test_optimizers_get_what_their_update_asks_for(quadratic):
    for name in ("sophia", "momo", "polyak_sgd", "lbfgs", "sam", "mechanize"):
        runs = sweep(quadratic, parse(name), [0.1], Start.of(quadratic, [0]), 20)
        assert np.isfinite(runs.losses).all(), name


def test_what_fails_while_it_runs_does_not_suit(tmp_path):
    file = tmp_path / "late.py"
    fails = "def late(w):\n    raise RuntimeError('no such row')\n"
    call = "jax.pure_callback(late, jax.ShapeDtypeStruct((), 'float32'), params['w'])"
    file.write_text(QUADRATIC.replace('jnp.linalg.norm(params["w"] - 1.0)', call) + fails)
    problem = load_problem(str(file))
    with pytest.raises(Unsuited, match=r"--optimizer sgd on late: .*"):
        sweep(problem, parse("sgd"), [0.1], Start.of(problem, [0]), 5)


def test_a_schedule_free_optimizer_is_evaluated_at_its_average(quadratic):
    runs = sweep(quadratic, parse("schedule_free_sgd"), [0.3], Start.of(quadratic, [0]), 20)
    init_key, key = jax.random.split(jax.random.key(0))
    tx, params = nablax.schedule_free_sgd(0.3), quadratic.init(init_key)
    state = tx.init(params)
    for count in range(20):
        grads = jax.grad(quadratic.loss)(params, quadratic.batches(jax.random.fold_in(key, count)))
        updates, state = tx.update(grads, state, params)
        params = apply_updates(params, updates)
    average = nablax.schedule_free_eval_params(state, params)
    np.testing.assert_allclose(runs.metrics[0, -1], quadratic.evaluate(average), rtol=1e-4)
    assert abs(quadratic.evaluate(params) - quadratic.evaluate(average)) > 1e-3


def test_halving_follows_the_better_third(quadratic):
    rates = [1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 0.9, 5.0, 50.0]
    start = Start.of(quadratic, [0, 1])
    halved = sweep(quadratic, parse("sgd"), rates, start, 90, "halving")
    full = sweep(quadratic, parse("sgd"), rates, start, 90)
    done = halved.done.reshape(9, 2)
    assert (done[:, 0] == done[:, 1]).all()
    assert sorted(done[:, 0]) == [10] * 6 + [30] * 2 + [90]
    best = int(np.argmax(done[:, 0]))
    tail = full.losses.reshape(9, 2, -1).mean(axis=1)[:, :30][:, -3:].mean(axis=1)
    assert best == np.nanargmin(np.where(np.isfinite(tail), tail, np.inf))
    kept = halved.done == 90
    np.testing.assert_array_equal(halved.losses[kept], full.losses[kept])
    assert np.isnan(halved.losses[halved.done == 10][:, 10:]).all()
    assert full.done.sum() > 3 * halved.done.sum()


def test_rungs():
    assert rungs("grid", 11, 20) == {}
    assert rungs("halving", 9, 18) == {2: 3, 6: 1}
    assert rungs("halving", 2, 20) == {}
    assert cost("halving", 9, 18) == 9 * 2 + 3 * 4 + 12
    assert survivors({0: np.nan, 1: 2.0, 2: 1.0}.__getitem__, [0, 1, 2], 2) == [1, 2]


def test_a_record_comes_back_from_its_file_and_takes_only_new_runs(quadratic, tmp_path):
    one = sweep(quadratic, parse("adam:b1=0.8"), [0.1], Start.of(quadratic, [0, 1]), 20)
    one.save(tmp_path / "one.npz")
    again = Runs.load(tmp_path / "one.npz")
    assert (again.label, again.options, again.steps) == ("adam:b1=0.8", {"b1": 0.8}, 20)
    np.testing.assert_array_equal(again.losses, one.losses)
    assert [p.name for p in tmp_path.glob("*.npz*")] == ["one.npz"]
    two = sweep(quadratic, parse("adam:b1=0.8"), [0.1, 0.2], Start.of(quadratic, [1, 2]), 20)
    both = one.joined(two)
    assert both.pairs == {(0.1, 0), (0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)}
    assert len(both.losses) == len(both.metrics) == 5
    assert one.joined(one).run_seconds == one.run_seconds


def test_pieces_and_means():
    assert pieces(7, 3).tolist() == [2, 5, 7]
    values = np.arange(14, dtype=np.float32).reshape(2, 7)
    np.testing.assert_allclose(means(values, pieces(7, 3)), [[0.5, 3, 5.5], [7.5, 10, 12.5]])
    np.testing.assert_allclose(smoothed(np.arange(4.0), 2), [0, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(smoothed(np.array([1e6, 1e6, 1e-12, 1e-12]), 2)[-1], 1e-12)


def test_budgets(quadratic, stream):
    assert str(parse_budget("2000")) == "2000steps"
    assert str(parse_budget("2min")) == "120s"
    assert parse_budget("300steps").steps(quadratic) == 300
    assert parse_budget("60s").steps(quadratic) is None
    digits = PROBLEMS["digits"].load()
    assert parse_budget("6400tokens").steps(digits) == 100  # batches of 64 rows
    for bad in ("", "fast", "-3s", "0steps", "1e999s", "3 weeks", "1..2s"):
        with pytest.raises(
            ArgumentError, match="--budget takes a positive amount of steps, s, min or tokens"
        ):
            parse_budget(bad)


def test_tokens_of_texts_rows_and_nothing(tmp_path):
    file = tmp_path / "texts.py"
    source = "import numpy as np, jax.numpy as jnp\ndef init(key): return jnp.zeros(())\ndef loss(p, b): return p**2\n"
    file.write_text(source + "batches = [(np.zeros((4, 6)), np.zeros((4, 8), int))]\n")
    assert tokens(load_problem(str(file))) == 32
    file.write_text(source + "batches = np.zeros((5, 3))\n")
    assert tokens(load_problem(str(file))) == 5
    file.write_text(source + "batches = ()\n")
    with pytest.raises(ArgumentError, match="has no rows to count; set TOKENS"):
        tokens(load_problem(str(file)))
    file.write_text(source + "batches = ()\nTOKENS = 9\n")
    assert tokens(load_problem(str(file))) == 9


def test_a_budget_in_seconds_is_about_what_a_run_takes(quadratic):
    start = Start.of(quadratic, [0])
    steps = steps_in(0.5, quadratic, parse("sgd"), start)
    runs = sweep(quadratic, parse("sgd"), [0.1], start, steps)
    assert steps > 100
    assert 0.05 < runs.run_seconds < 5  # the machine may be busy
