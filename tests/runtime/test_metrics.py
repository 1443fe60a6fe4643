"""What a run tells: norms in the state, callbacks, loggers, the noise of gradients; the search for a rate; modules."""

import csv
import gc
import importlib.util
import json
import signal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import nablax
from nablax import CSVLogger, JSONLinesLogger, Optimizer, lr_finder, metrics_of, train_step, with_metrics
from nablax.core import widened
from nablax.runtime._metrics import _lanes

PARAMS = {"w": jnp.array([[3.0, 4.0]]), "b": jnp.array([1.0])}
GRADS = {"w": jnp.array([[0.6, 0.8]]), "b": jnp.array([0.5])}


def norm(tree):
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(x, np.float64))) for x in jax.tree.leaves(tree))))


def test_metrics_in_the_state():
    tx = with_metrics(nablax.sgd(0.5), per_leaf=True)
    updates, state = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    found, new = metrics_of(state), nablax.apply_updates(PARAMS, updates)
    assert float(found["gradient_norm"]) == pytest.approx(norm(GRADS))
    assert float(found["update_norm"]) == pytest.approx(norm(updates))
    assert float(found["parameter_norm"]) == pytest.approx(norm(new))
    assert float(found["update_ratio"]) == pytest.approx(norm(updates) / norm(new))
    assert float(found["leaves"]["w"]["gradient_norm"]) == pytest.approx(1.0)
    assert sorted(found["leaves"]) == ["b", "w"]
    with pytest.raises(nablax.StructureError, match="no with_metrics"):
        metrics_of(nablax.sgd(0.1).init(PARAMS))


def test_metrics_of_leaves_are_one_array_in_the_state_and_read_from_a_scan_or_a_trace():
    tx = with_metrics(nablax.sgd(0.1), per_leaf=True)
    many = {str(k): jnp.full(2, 1.0 + k) for k in range(20)}
    state = tx.init(many)
    assert len(jax.tree.leaves(state)) == 5
    _, states = jax.lax.scan(
        lambda s, g: (tx.update(g, s, many)[1],) * 2,
        state,
        jax.tree.map(lambda x: jnp.stack([x, 2 * x]), many),
    )
    for read in (metrics_of, jax.jit(metrics_of)):
        for name, x in read(states)["leaves"].items():
            np.testing.assert_allclose(x["gradient_norm"], norm(many[name]) * np.array([1.0, 2.0]), rtol=1e-6)
            np.testing.assert_allclose(x["update_ratio"], x["update_norm"] / x["parameter_norm"], rtol=1e-6)
    assert metrics_of(tx.init({}))["leaves"] == {}


def test_metrics_scan_and_change_nothing():
    plain, tx = nablax.adamw(0.1), with_metrics(nablax.adamw(0.1))

    def run(tx):
        def body(carry, _):
            p, s = carry
            u, s = tx.update(jax.tree.map(jnp.cos, p), s, p)
            return (nablax.apply_updates(p, u), s), None

        return jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), None, 5)[0][0]

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), run(plain), run(tx))


def test_metrics_of_every_third_update():
    tx, always = (with_metrics(nablax.adam(0.1), per_leaf=True, **o) for o in ({"every": 3}, {}))
    state, other, p = tx.init(PARAMS), always.init(PARAMS), PARAMS
    update = jax.jit(tx.update)
    for k in range(1, 8):
        g = jax.tree.map(lambda x, k=k: jnp.cos(k * x), p)
        (u, state), (v, other) = update(g, state, p), always.update(g, other, p)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), u, v)
        p = nablax.apply_updates(p, u)
        if k % 3 == 0:
            known = metrics_of(other)
        seen = known if k >= 3 else jax.tree.map(jnp.zeros_like, metrics_of(state))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), metrics_of(state), seen)
    assert "count" not in "".join(nablax.state_dict(always, other)["arrays"]).replace("inner/count", "")


def test_a_step_with_metrics_now_and_then_copies_nothing():
    params = {"w": jnp.ones((64, 512)), "v": jnp.ones((64, 512))}
    opt = Optimizer(with_metrics(nablax.adamw(0.1), every=100), params)
    compiled = opt.lower(params).compile()
    assert not [line for line in compiled.as_text().splitlines() if " copy(" in line and "64,512" in line]
    temporary = compiled.memory_analysis().temp_size_in_bytes  # of the branch that measures
    assert temporary < 8 * params["w"].nbytes


BIG = {"w": jnp.linspace(-1.0, 1.0, 128 * 64).reshape(128, 64), "odd": jnp.linspace(0.5, 2.0, 4099)}
WAYS = {
    "adamw": nablax.adamw(0.1),
    "clip": nablax.chain(nablax.clip_by_global_norm(0.5), nablax.adamw(0.1)),
}


# XLA may leave out roundings of arrays that it does not write.
ROUNDING = {jnp.float32: 1e-6, jnp.bfloat16: 2e-4}


@pytest.mark.parametrize(
    ("name", "dtype"), [("adamw", jnp.float32), ("adamw", jnp.bfloat16), ("clip", jnp.float32)]
)
def test_norms_of_large_leaves(name, dtype):
    tx, params = WAYS[name], jax.tree.map(lambda x: x.astype(dtype), BIG)
    grads = jax.tree.map(lambda x: jnp.cos(7 * x), params)
    state = tx.init(params)
    rounding = ROUNDING[dtype]
    opt = Optimizer(with_metrics(tx, per_leaf=True), params, metrics=True)
    for _ in range(2):
        updates, state = tx.update(grads, state, jax.tree.map(lambda x: x.astype(jnp.float32), params))
        exact = jax.tree.map(lambda p, u: p.astype(jnp.float32) + u, params, updates)
        params = opt.step(grads)
        leaves = metrics_of(opt.state)["leaves"]
        for found, after in ((opt.metrics, params), (metrics_of(opt.state), exact)):
            assert float(found["gradient_norm"]) == pytest.approx(norm(grads), rel=1e-6)
            assert float(found["update_norm"]) == pytest.approx(norm(updates), rel=1e-5)
            assert float(found["parameter_norm"]) == pytest.approx(norm(after), rel=rounding)
        for leaf in BIG:
            assert float(leaves[leaf]["update_norm"]) == pytest.approx(norm(updates[leaf]), rel=1e-5)


@pytest.mark.parametrize("name", ["adamw", "clip"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_norms_write_no_update_down(name, wrapped):
    """Updates and their quotients were written to fresh memory, which took longer than the step."""
    params = {"w": jnp.ones((128, 512)), "v": jnp.ones((256, 256))}
    tx = with_metrics(WAYS[name]) if wrapped else WAYS[name]
    compiled = Optimizer(tx, params, metrics=not wrapped).lower(params).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * (params["w"].nbytes + params["v"].nbytes)


LANES = {f"w{k}": jnp.linspace(-1.0, k, 128 * 163).reshape(128, -1) for k in range(5)}
MIXED = {**LANES, "odd": jnp.linspace(0.5, 2.0, 21_011), "huge": jnp.ones((600, 600)), "small": jnp.ones(7)}


@pytest.fixture
def few_cores(monkeypatch):
    """However many this machine has."""
    monkeypatch.setattr(_lanes, "_CORES", 10**6)


@pytest.mark.usefixtures("few_cores")
@pytest.mark.parametrize(
    ("name", "dtype"), [("adamw", jnp.float32), ("adamw", jnp.bfloat16), ("clip", jnp.float32)]
)
def test_steps_and_norms_in_one_loop(name, dtype):
    """Leaves of one size, with a rest that no tile takes, and others: alone in their size, and too small."""
    params = jax.tree.map(lambda x: x.astype(dtype), MIXED)
    grads = jax.tree.map(lambda x: jnp.cos(7 * x), params)
    plain, told = (Optimizer(WAYS[name], params, metrics=m) for m in (False, True))
    state = Optimizer(with_metrics(WAYS[name], per_leaf=True), params)
    for opt, loops in ((plain, 0), (told, 1), (state, 1)):
        assert opt.lower(grads).as_text().count("stablehlo.while") == loops
    before = params
    for _ in range(2):
        after, same, again = (jax.tree.map(jnp.copy, opt.step(grads)) for opt in (plain, told, state))
        for other in (same, again):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), widened(after), widened(other)
            )
        updates = jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), after, before)
        assert float(told.metrics["gradient_norm"]) == pytest.approx(norm(grads), rel=1e-6)
        assert float(told.metrics["parameter_norm"]) == pytest.approx(norm(after), rel=ROUNDING[dtype])
        leaves = metrics_of(state.state)["leaves"]
        for leaf in MIXED:
            assert float(leaves[leaf]["gradient_norm"]) == pytest.approx(norm(grads[leaf]), rel=1e-6)
            if dtype == jnp.float32:
                assert float(leaves[leaf]["parameter_norm"]) == pytest.approx(norm(after[leaf]), rel=1e-6)
                assert float(leaves[leaf]["update_norm"]) == pytest.approx(norm(updates[leaf]), rel=1e-5)
        before = after
    moments = [jax.tree.leaves(opt.state) for opt in (plain, told)]
    for a, b in zip(*moments, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.usefixtures("few_cores")
def test_the_loop_writes_in_place():
    opt = Optimizer(WAYS["adamw"], LANES, metrics=True)
    compiled = opt.lower(LANES).compile()
    sizes = [f"{x.size}]" for x in LANES.values()] + [f"{x.shape[1]}]" for x in LANES.values()]
    copies = [line for line in compiled.as_text().splitlines() if " copy(" in line]
    assert not [line for line in copies if any(size in line.split(" copy(")[0] for size in sizes)]
    assert compiled.memory_analysis().temp_size_in_bytes < sum(x.nbytes for x in LANES.values())


@pytest.mark.usefixtures("few_cores")
def test_where_there_is_no_loop():
    """Arrays that are not donated; leaves that meet. What a leaf's gradient gives to others is no hindrance."""

    def update(updates, state, params=None):
        first = updates["w0"][:, :1]
        return jax.tree.map(lambda u, s: -u - 0.1 * s - first, updates, state), jax.tree.map(
            jnp.negative, state
        )

    lent = Optimizer(WAYS["adamw"], LANES, metrics=True, donate=False)
    assert "while" not in lent.lower(LANES).as_text()
    tied = nablax.GradientTransformation(lambda params: jax.tree.map(jnp.copy, params), update)
    shared = {f"w{k}": jnp.full((128, 160), k + 1.0) for k in range(4)}
    plain, told = (Optimizer(tied, shared, metrics=m) for m in (False, True))
    assert "while" in told.lower(shared).as_text()
    jax.tree.map(np.testing.assert_array_equal, plain.step(shared), told.step(shared))

    def swap(updates, state, params=None):
        del params
        updates = jax.tree.map(lambda u, s: u - 0.1 * s, updates, state)
        return updates, dict(zip(state, list(state.values())[::-1], strict=True))

    turned = nablax.GradientTransformation(lambda params: jax.tree.map(jnp.copy, params), swap)
    plain, told = (Optimizer(turned, shared, metrics=m) for m in (False, True))
    assert "while" not in told.lower(shared).as_text()
    for _ in range(2):
        jax.tree.map(np.testing.assert_array_equal, plain.step(shared), told.step(shared))
    jax.tree.map(np.testing.assert_array_equal, plain.state, told.state)


def test_a_huge_leaf_has_a_loop_of_its_own_on_two_cores(monkeypatch):
    monkeypatch.setattr(_lanes, "_HUGE", 2 * _lanes._TILE)
    params = {"w": jnp.linspace(-1.0, 2.0, 5 * 8209)}
    other = {"w": jnp.ones(5 * 8210)}  # optimizers of one structure share their programs
    monkeypatch.setattr(_lanes, "_cores", lambda: 4)
    assert "while" not in Optimizer(WAYS["adamw"], other, metrics=True).lower(other).as_text()
    monkeypatch.setattr(_lanes, "_cores", lambda: 2)
    opt = Optimizer(WAYS["adamw"], params, metrics=True)
    compiled = opt.lower(params).compile()
    assert " while(" in compiled.as_text()
    assert compiled.memory_analysis().temp_size_in_bytes < 3 * params["w"].nbytes
    plain = Optimizer(WAYS["adamw"], params)
    for _ in range(2):
        before, after = np.float64(opt.params["w"]), np.float64(opt.step(params)["w"])
        plain.step(params)
        np.testing.assert_allclose(after, plain.params["w"], rtol=1e-6, atol=1e-6)
        norms = opt.metrics
        np.testing.assert_allclose(norms["gradient_norm"], np.linalg.norm(params["w"]), rtol=1e-5)
        np.testing.assert_allclose(norms["parameter_norm"], np.linalg.norm(after), rtol=1e-5)
        np.testing.assert_allclose(norms["update_norm"], np.linalg.norm(after - before), rtol=1e-4)


def many_leaves():
    small = [((k + 1) * jnp.linspace(-1, 1, 6)).reshape(2, 3) for k in range(70)]
    rest = [jnp.ones((3, 2), jnp.bfloat16) * k for k in range(40)]
    return {
        "small": small,
        "rest": rest,
        "large": jnp.linspace(0, 1, 2000),
        "scalar": jnp.float32(3.0),
        "no": jnp.zeros((0, 4)),
    }


@pytest.mark.parametrize("skip", [False, True])
def test_norms_of_very_many_small_leaves(skip):
    params = many_leaves()
    grads = {**jax.tree.map(lambda x: x + 1, params), "scalar": None}
    opt = nablax.Optimizer(nablax.sgd(0.5), params, metrics=True, skip_nonfinite=skip)
    after, got = opt.step(grads), opt.metrics

    def norm(tree):
        return np.sqrt(sum(np.sum(np.float64(x) ** 2) for x in jax.tree.leaves(tree)))

    np.testing.assert_allclose(got["gradient_norm"], norm(grads), rtol=1e-6)
    np.testing.assert_allclose(got["update_norm"], norm(grads) / 2, rtol=1e-6)
    np.testing.assert_allclose(got["parameter_norm"], norm(after), rtol=1e-6)


def test_few_sums_measure_very_many_small_leaves():
    """XLA takes as long for a sum of each as for the step itself."""
    params = many_leaves()
    tx = with_metrics(nablax.sgd(0.5))
    text = jax.jit(tx.update).lower(params, tx.init(params), params).compile().as_text()
    assert 0 < text.count(" reduce(") < 30


@pytest.mark.usefixtures("few_cores")
def test_norms_of_a_step_whose_state_changes_its_structure():
    """A first step that fills what was None."""

    def update(updates, state, params=None):
        del params
        last = updates if state is None else state
        return jax.tree.map(lambda u, s: -0.1 * u - 0.2 * s, updates, last), updates

    growing = nablax.GradientTransformation(lambda params: None, update)
    shared = {f"w{k}": jnp.full((128, 160), k + 1.0) for k in range(4)}
    plain, told = (Optimizer(growing, shared, metrics=m) for m in (False, True))
    for _ in range(2):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain.step(shared), told.step(shared)
        )
        assert told.metrics["parameter_norm"] == pytest.approx(norm(told.params), rel=1e-6)


def test_norms_do_no_costly_work_twice():
    params = {"w": jnp.ones((64, 128))}
    texts = [Optimizer(nablax.muon(0.1), params, metrics=m).lower(params).as_text() for m in (False, True)]
    assert texts[0].count("dot_general") == texts[1].count("dot_general") > 0
    seen = []

    def tells(g, state, params=None):
        jax.debug.callback(lambda x: seen.append(float(x)), g["w"][0, 0])
        return jax.tree.map(lambda x: -x, g), state

    opt = Optimizer(nablax.GradientTransformation(lambda p: (), tells), params, metrics=True)
    opt.step(params)
    jax.effects_barrier()
    assert seen == [1.0]


def test_a_transformation_may_decide_on_values_where_nothing_is_compiled():
    def update(updates, state, params=None):
        return (jax.tree.map(lambda u: u / 2, updates) if float(norm(updates)) > 1 else updates), state

    tx, w = with_metrics(optax.GradientTransformation(lambda params: (), update)), jnp.ones(4096)
    updates, state = tx.update(w, tx.init(w), w)
    assert float(metrics_of(state)["update_norm"]) == pytest.approx(32.0)
    np.testing.assert_array_equal(updates, w / 2)


def test_the_optimizer_has_them_with_groups_too():
    tx = nablax.partition_by_path({"b": nablax.sgd(0.1)}, default=nablax.adam(0.2))
    opt = Optimizer(with_metrics(nablax.dynamic_loss_scale(tx, 8.0)), PARAMS)
    opt.step(jax.tree.map(lambda g: 8 * g, GRADS))
    assert opt.metrics["loss_scale"] == 8.0
    assert opt.metrics["gradient_norm"] == pytest.approx(8 * norm(GRADS))
    assert sorted(opt.metrics["learning_rate"].values()) == [0.1, 0.2]


# -- callbacks --------------------------------------------------------------------------------------------------------


def test_callbacks_and_their_period():
    seen = []
    opt = Optimizer(
        nablax.sgd(0.1), PARAMS, callbacks=[lambda step, m: seen.append((step, m["steps"]))], every=3
    )
    for _ in range(7):
        opt.step(GRADS)
    assert seen == [(3, 3), (6, 6)]


def test_norms_are_computed_where_somebody_reads_them():
    def opts(**options):
        return Optimizer(nablax.adam(nablax.linear_schedule(0.1, 0.0, 20)), PARAMS, metrics=True, **options)

    seen, clear = {}, ("gradient_norm", "update_norm", "parameter_norm", "update_ratio", "learning_rate")
    opt, always = opts(every=3, callbacks=[lambda step, m: seen.update({step: m})]), opts()
    assert "reduce" not in opt.lower(GRADS).as_text()
    assert "reduce" in always.lower(GRADS).as_text()
    for k in range(1, 8):
        jax.tree.map(np.testing.assert_array_equal, opt.step(GRADS), always.step(GRADS))
        if k % 3 == 0:
            assert {name: seen[k][name] for name in clear} == {name: always.metrics[name] for name in clear}
        else:
            assert opt.metrics["learning_rate"] == always.metrics["learning_rate"]
            assert opt.metrics.get("measured_step") == (k // 3 * 3 or None)
            assert opt.metrics.get("gradient_norm") == (seen[k // 3 * 3]["gradient_norm"] if k > 3 else None)
    assert sorted(seen) == [3, 6]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_what_a_callback_raises_costs_nothing(kind):
    def failing(step, metrics):
        if step == 2:
            raise kind("stop")

    opt, plain = Optimizer(nablax.adam(0.1), PARAMS, callbacks=[failing]), Optimizer(nablax.adam(0.1), PARAMS)
    for k in range(5):
        plain.step(GRADS)
        if k == 1:
            with pytest.raises(kind, match="stop"):
                opt.step(GRADS)
        else:
            opt.step(GRADS)
    jax.tree.map(np.testing.assert_array_equal, opt.params, plain.params)
    assert opt.metrics["steps"] == 5


def test_ctrl_c_during_a_callback_leaves_a_step_that_counts():
    opt = Optimizer(nablax.adam(0.1), PARAMS, callbacks=[lambda step, m: signal.raise_signal(signal.SIGINT)])
    # What a shell starts in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            opt.step(GRADS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert opt.metrics["steps"] == 1
    assert np.isfinite(norm(opt.copy_params()))


def test_loggers(tmp_path):
    lines, table = JSONLinesLogger(tmp_path / "a" / "log.jsonl"), CSVLogger(tmp_path / "log.csv")
    opt = Optimizer(nablax.sgd(0.1), PARAMS, metrics=True, callbacks=[lines, table])
    opt.step(GRADS)
    again = CSVLogger(tmp_path / "log.csv")  # a run that was resumed
    opt.step(GRADS)
    again(9, opt.metrics)
    rows = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["gradient_norm"] == pytest.approx(norm(GRADS))
    with open(tmp_path / "log.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["step"] for row in read] == ["1", "2", "9"]
    lines(3, {"loss": float("nan"), "learning_rate": {"head": jnp.float32(0.5)}, "aux": [1], "done": True})
    assert json.loads((tmp_path / "a" / "log.jsonl").read_text().splitlines()[-1]) == {
        "step": 3, "loss": None, "learning_rate/head": 0.5, "done": True
    }  # fmt: skip
    with pytest.raises(nablax.ArgumentError, match="'other' has no column"):
        table(3, {"other": 1.0})


def test_tensorboard_says_what_to_install(tmp_path):
    if importlib.util.find_spec("tensorboardX") is None and importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(ImportError, match="pip install tensorboardX"):
            nablax.TensorBoardLogger(tmp_path)
        return
    log = nablax.TensorBoardLogger(tmp_path)
    log(1, {"loss": 0.5})
    log.close()
    assert list(tmp_path.iterdir())


def test_many_steps_take_no_memory():
    opt = Optimizer(nablax.adam(1e-3), PARAMS, metrics=True)
    step, tx = train_step(lambda p, x: jnp.sum(p["w"] * x), nablax.sgd(0.1)), nablax.sgd(0.1)
    p = jax.tree.map(jnp.copy, PARAMS)
    s = tx.init(p)
    for k in range(10_000):
        if k == 100:
            gc.collect()
            before, known = len(jax.live_arrays()), len(gc.get_objects())
        opt.step(GRADS)
        p, s, _metrics = step(p, s, 1.0)
    assert len(jax.live_arrays()) <= before + 5
    gc.collect()
    now = len(gc.get_objects())
    assert now < known + 5_000  # half an object a step: other threads may work meanwhile


# -- noise ------------------------------------------------------------------------------------------------------------


def test_the_noise_of_gradients_is_estimated_without_bias():
    true, spread = jnp.array([1.0, -2.0, 0.5]), 3.0
    step = train_step(lambda p, x: jnp.mean(x @ p), nablax.sgd(0.0), microbatches=4, donate=False)
    p, signals, noises = jnp.zeros(3), [], []
    state = nablax.sgd(0.0).init(p)
    for k in range(400):
        x = true + spread * jax.random.normal(jax.random.key(k), (32, 3))
        metrics = step(p, state, x)[2]
        signals.append(float(metrics["gradient_signal"]))
        noises.append(float(metrics["gradient_noise"]))
    for values, expected in ((signals, float(true @ true)), (noises, 3 * spread**2)):
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(len(values))
    assert float(metrics["gradient_noise_scale"]) == pytest.approx(noises[-1] / signals[-1], rel=1e-4)


# -- the search for a rate --------------------------------------------------------------------------------------------


def test_lr_finder_finds_a_rate_that_works(tmp_path):
    x = jax.random.normal(jax.random.key(0), (64, 5))
    y = x @ jnp.arange(5.0)

    def loss(w, x, y):
        return jnp.mean((x @ w - y) ** 2)

    batches = [(x[k : k + 16], y[k : k + 16]) for k in range(0, 64, 16)]
    for tx in (nablax.sgd(1.0), nablax.chain(nablax.clip_by_global_norm(1e9), nablax.adam(1.0))):
        found = lr_finder(loss, jnp.zeros(5), batches, tx=tx, high=100.0)
        assert len(found.rates) == len(found.losses) == 100
        assert found.losses[0] == pytest.approx(float(loss(jnp.zeros(5), *batches[0])), rel=1e-5)
        assert 1e-3 < found.suggestion < 10
        opt = Optimizer(tx, jnp.zeros(5))
        opt.hyperparameters["*learning_rate"] = found.suggestion
        for k in range(60):
            opt.step(jax.grad(loss)(opt.params, *batches[k % 4]))
        assert float(loss(opt.params, x, y)) < 0.2 * float(loss(jnp.zeros(5), x, y))
        found.plot(tmp_path / "rates.png")
        assert (tmp_path / "rates.png").stat().st_size > 1000
        assert "suggestion" in repr(found)


def test_lr_finder_refuses():
    def loss(w):
        return jnp.sum(w**2)

    with pytest.raises(nablax.ArgumentError, match="no batch"):
        lr_finder(loss, jnp.ones(2), [], tx=nablax.sgd(0.1))
    with pytest.raises(nablax.ArgumentError, match="no learning_rate"):
        lr_finder(loss, jnp.ones(2), [()], tx=nablax.scale(0.1))
    with pytest.raises(nablax.HyperparameterError, match="high"):
        lr_finder(loss, jnp.ones(2), [()], tx=nablax.sgd(0.1), low=1.0, high=0.5)


# -- modules ----------------------------------------------------------------------------------------------------------


def test_equinox_modules_go_in_and_come_out():
    model = eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0))
    x, y = jnp.ones((4, 3)), jnp.arange(4.0)

    @eqx.filter_jit
    def gradient(m):
        return eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(x)[:, 0] - y) ** 2))(m)

    opt = Optimizer(nablax.adam(0.05), model)
    first = float(jnp.mean((jax.vmap(opt.params)(x)[:, 0] - y) ** 2))
    for _ in range(30):
        new = opt.step(gradient(opt.params))
    assert isinstance(new, eqx.nn.MLP)
    assert new.activation is model.activation
    assert float(jnp.mean((jax.vmap(new)(x)[:, 0] - y) ** 2)) < 0.5 * first
    assert isinstance(opt.copy_params(), eqx.nn.MLP)
    assert "layers/0/weight" in str(opt.describe())


def test_a_module_with_a_key_and_its_average():
    class Noisy(eqx.Module):
        mlp: eqx.nn.MLP
        key: jax.Array

        def __call__(self, x):
            return self.mlp(x) + jax.random.normal(self.key)

    opt = nablax.Optimizer(
        nablax.ema_params(nablax.adam(1e-2), 0.5),
        Noisy(eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0)), jax.random.key(1)),
    )
    grads = eqx.filter_grad(lambda m: jnp.sum(m(jnp.ones(3)) ** 2))(opt.params)
    model = opt.step(grads)
    assert jax.dtypes.issubdtype(model.key.dtype, jax.dtypes.prng_key)
    assert opt.averaged_params(jnp.ones(3)) == model(jnp.ones(3))  # of one step the average is its point
    opt.step(grads)
    assert opt.averaged_params(jnp.ones(3)) != opt.params(jnp.ones(3))


def test_a_module_of_which_some_leaves_are_averaged():
    some = nablax.masked(nablax.ema_params(nablax.sgd(0.1), 0.9), {"a": True, "b": False, "f": False})
    opt = Optimizer(some, {"a": jnp.ones(2), "b": jnp.ones(3), "f": jnp.tanh})
    opt.step({"a": jnp.ones(2), "b": jnp.ones(3), "f": None})
    found = opt.averaged_params
    np.testing.assert_allclose(found["a"], 0.9 * np.ones(2), rtol=1e-6)
    assert found["f"] is jnp.tanh


def test_train_step_says_what_to_do_with_a_module():
    model = eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0))
    tx = nablax.adam(0.05)
    params, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(p, x):
        return jnp.mean(jax.vmap(eqx.combine(p, rest))(x) ** 2)

    step = train_step(loss, tx)
    with pytest.raises(nablax.StructureError, match=r"activation is no array, but .*equinox.partition"):
        step(model, tx.init(params), jnp.ones((4, 3)))
    params, _, metrics = step(params, tx.init(params), jnp.ones((4, 3)))
    assert np.isfinite(float(metrics["loss"]))


@pytest.mark.parametrize("asked", ["init", "step", "lr_finder"])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (jnp.tanh, r"params\['x'\] is no array, but .*equinox.partition.*nnx.split\(model, nnx.Param, ...\)"),
        (jax.random.key(0), r"params\['x'\] is a random key. .*nnx.merge"),
    ],
    ids=["function", "key"],
)
def test_what_is_not_trained_is_named_wherever_it_comes_in(asked, other, message):
    def loss(p):
        return jnp.sum(p["w"] ** 2)

    params, tx = {"w": jnp.ones(2), "x": other}, nablax.adam(0.1)
    step = train_step(loss, tx)
    calls = {
        "init": lambda: step.init(params),
        "step": lambda: step(params, tx.init({"w": jnp.ones(2)})),
        "lr_finder": lambda: lr_finder(loss, params, [()], tx=tx),
    }
    with pytest.raises(nablax.StructureError, match=message):
        calls[asked]()
    tensor = {"w": nablax.autograd.Parameter([1.0])}
    with pytest.raises(nablax.StructureError, match=r"params\['w'\] is a tensor of autograd.*loss.backward"):
        step(tensor, tx.init(tensor))


def test_flax_modules_with_statistics_and_dropout():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.dense, self.norm = nnx.Linear(3, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)
            self.dropout, self.out = nnx.Dropout(0.2, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x):
            return self.out(self.dropout(nnx.relu(self.norm(self.dense(x)))))

    x, y = jax.random.normal(jax.random.key(0), (32, 3)), jnp.arange(32.0) / 32
    graphdef, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)

    def loss(p, rest, x, y):
        model = nnx.merge(graphdef, p, rest, copy=True)
        value = jnp.mean((model(x)[:, 0] - y) ** 2)
        return value, nnx.state(model, nnx.Not(nnx.Param))

    step = train_step(loss, nablax.adam(0.02), has_aux=True)
    state, seen = step.init(params), []
    means = np.array(rest["norm"]["mean"][...])
    for _ in range(40):
        params, state, metrics = step(params, state, rest, x, y)
        rest = metrics["aux"]
        seen.append(float(metrics["loss"]))
    assert seen[-1] < 0.5 * seen[0]
    assert np.abs(np.asarray(rest["norm"]["mean"][...]) - means).max() > 1e-3


def test_gradients_of_nnx_for_a_module():
    def loss(m):
        return jnp.mean(m(jnp.ones((4, 3))) ** 2)

    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    opt = Optimizer(nablax.adam(0.05), model)
    with pytest.raises(nablax.StructureError, match=r"got State. nnx.grad .*nnx.state\(model, nnx.Param\)"):
        opt.step(nnx.grad(loss)(model))
    new = opt.step(jax.grad(loss)(opt.params))
    assert isinstance(new, nnx.Linear)
    state = Optimizer(nablax.adam(0.05), nnx.state(model, nnx.Param))
    state.step(nnx.grad(loss)(model))
    nnx.update(model, state.copy_params())
    np.testing.assert_allclose(model.kernel[...], new.kernel[...], rtol=1e-6)


def test_flax_modules():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model, nnx.Param)

    def loss(p, x):
        return jnp.mean(nnx.merge(graphdef, p)(x) ** 2)

    tx = nablax.adam(0.05)
    step = train_step(loss, tx)
    new, _, _metrics = step(jax.tree.map(jnp.copy, params), tx.init(params), jnp.ones((4, 3)))
    opt = Optimizer(tx, params)
    opt.step(jax.grad(loss)(params, jnp.ones((4, 3))))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), new, opt.params)
    assert "kernel" in str(opt.describe())


def test_the_ratio_of_parameters_that_stay_zero_is_zero():
    """Zeros, at a first step whose rate is zero: the norm of the update and that of the parameters are both 0."""
    optimizer = nablax.Optimizer(nablax.sgd(0.0), {"w": jnp.zeros(3)}, metrics=True)
    optimizer.step({"w": jnp.ones(3)})
    assert optimizer.metrics["update_ratio"] == 0
