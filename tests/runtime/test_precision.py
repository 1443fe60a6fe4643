"""Narrow parameters trained as wide ones, loss scaling, and averages of parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from nablax import Optimizer, apply_updates, dynamic_loss_scale, ema_params, lawa, precision, swa, train_step
from nablax.runtime._precision._rounding import join, remainder, round_stochastically, split
from nablax.runtime._random_bits import random_bits

BF16 = jnp.bfloat16
WAYS = (None, "stochastic", "kahan", "remainder")


def floats(n, seed=0):
    """Floats of all bit patterns, special ones first."""
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 3.4e38, -3.4e38, 1e-45, -1e-45, 1.17e-38]
    ties = np.array(
        [0x3F808000, 0x3F818000, 0xBF808000, 0x00008000, 0x7F7F8000, 0x7F7FFFFF, 0x3F807FFF], np.uint32
    )
    raw = np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32)
    return np.concatenate([np.float32(special), ties.view(np.float32), raw.view(np.float32)])


# -- bits -------------------------------------------------------------------------------------------------------------


def test_a_float32_is_a_bfloat16_and_its_remainder_bit_for_bit():
    x = jnp.asarray(floats(100_000))
    near = jax.jit(split)(x)
    back = np.asarray(jax.jit(join)(near, remainder(x, near)))
    known = ~np.isnan(x)
    np.testing.assert_array_equal(back.view(np.uint32)[known], np.asarray(x).view(np.uint32)[known])
    assert np.isnan(back[~known]).all()
    usual = np.asarray(x.astype(BF16)).astype(np.float32)[known]
    ours = np.asarray(near).astype(np.float32)[known]
    with np.errstate(invalid="ignore"):
        assert (np.abs(ours - np.asarray(x)[known]) == np.abs(usual - np.asarray(x)[known])).mean() > 0.999


@pytest.mark.parametrize("dtype", [BF16, jnp.float16, jnp.float8_e4m3fn])
def test_stochastic_rounding_is_unbiased(dtype):
    n = 200_000
    for x in (1.001, -0.3, 1e-3, 100.3, 0.0157):
        bits = random_bits(jnp.array([3, 7], jnp.uint32), 0, (n,))
        got = np.asarray(round_stochastically(jnp.full(n, x, jnp.float32), dtype, bits)).astype(np.float64)
        assert len(np.unique(got)) <= 2
        error = got.mean() - np.float32(x)
        assert abs(error) < 5 * got.std() / np.sqrt(n) + 1e-12


def test_what_a_format_holds_stays():
    x = jnp.asarray(floats(50_000)).astype(BF16)
    bits = random_bits(jnp.array([1, 2], jnp.uint32), 5, x.shape)
    got = round_stochastically(x.astype(jnp.float32), BF16, bits)
    np.testing.assert_array_equal(np.asarray(got).astype(np.float32), np.asarray(x).astype(np.float32))


def test_random_bits_look_random_and_hang_on_all_they_should():
    one = np.asarray(random_bits(jnp.array([0, 0], jnp.uint32), 0, (1 << 16,)))
    counts = np.unpackbits(one.view(np.uint8)).mean()
    assert abs(counts - 0.5) < 0.002
    for words, leaf in (([1, 0], 0), ([0, 1], 0), ([0, 0], 1)):
        other = np.asarray(random_bits(jnp.array(words, jnp.uint32), leaf, (1 << 16,)))
        assert abs(np.unpackbits((one ^ other).view(np.uint8)).mean() - 0.5) < 0.005


# -- training ---------------------------------------------------------------------------------------------------------


def problem():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(32, 8)), jnp.float32)
    target = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    start = {"w": jnp.asarray(rng.normal(size=(8, 3)) + 1, jnp.float32), "b": jnp.ones(3)}

    def loss(p):
        return jnp.mean((x @ p["w"].astype(jnp.float32) + p["b"].astype(jnp.float32) - x @ target) ** 2)

    return start, loss


@functools.cache
def run(way, dtype, steps, rate):
    start, loss = problem()
    tx = nablax.adamw(rate)
    params = jax.tree.map(lambda p: p.astype(dtype), start)
    tx = tx if way == "plain" else precision(tx, way)

    def body(carry, _):
        p, s = carry
        done = nablax.core.advance(tx, jax.grad(loss)(p), s, p, {})
        return done[:2], None

    (params, _state), _ = jax.jit(lambda c: jax.lax.scan(body, c, None, steps))((params, tx.init(params)))
    return loss(params), jax.tree.map(lambda p: np.asarray(p, np.float32), params), start


@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_small_steps_follow_the_float32_run(way):
    _wide_loss, wide, start = run("plain", jnp.float32, 1000, 1e-5)
    _, stuck, _ = run("plain", BF16, 1000, 1e-5)
    _, got, _ = run(way, BF16, 1000, 1e-5)
    moved = np.concatenate([(wide[k] - np.asarray(start[k])).ravel() for k in wide])
    assert np.abs(moved).min() > 5e-3
    plain = np.concatenate([(stuck[k] - np.asarray(start[k].astype(BF16), np.float32)).ravel() for k in wide])
    assert (plain == 0).mean() > 0.7  # bfloat16 alone stands still
    off = np.concatenate([(got[k] - wide[k]).ravel() for k in wide])
    spacing = 2.0**-7 * np.concatenate([np.abs(wide[k]).ravel() + 0.1 for k in wide])  # of bfloat16, at most
    assert np.abs(off.mean()) < spacing.mean() / 4
    assert (np.abs(off) < (4 if way == "stochastic" else 1.01) * spacing).all()


def test_the_remainder_is_the_float32_run_bit_for_bit():
    """Leaf by leaf: within one program XLA may contract a product and a sum otherwise here than there."""
    start, _ = problem()
    p = jax.tree.map(lambda x: x.astype(BF16), start)
    w = jax.tree.map(lambda x: x.astype(jnp.float32), p)
    plain, kept = nablax.adamw(0.01), precision(nablax.adamw(0.01), "remainder")
    s, t = plain.init(w), kept.init(p)
    for k in range(30):
        grads = jax.tree.map(lambda x: jnp.cos(x * k), w)  # noqa: B023
        u, s = plain.update(grads, s, w)
        v, t = kept.update(grads, t, p)
        w, p = apply_updates(w, u), apply_updates(p, v)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(join, p, t.beside), w)
    opt = Optimizer(kept, jax.tree.map(lambda x: x.astype(BF16), start))
    wide = Optimizer(plain, jax.tree.map(lambda x: x.astype(BF16).astype(jnp.float32), start))
    for k in range(30):
        grads = jax.tree.map(lambda x: jnp.cos(x * k), wide.params)  # noqa: B023
        wide.step(grads)
        opt.step(grads)
    joined = jax.tree.map(join, opt.params, opt.state.beside)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), joined, wide.params)


@pytest.mark.parametrize(
    "tx",
    [
        nablax.lion(1e-3), nablax.sgd(1e-2, 0.9), nablax.adafactor(1e-2), nablax.muon(1e-2),
        nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(nablax.cosine_decay_schedule(1e-2, 30))),
    ],
    ids=["lion", "sgd", "adafactor", "muon", "chain"],
)  # fmt: skip
def test_any_rule_is_kept_bit_for_bit_by_the_remainder(tx):
    wide = {"w": jax.random.normal(jax.random.key(0), (16, 9)), "b": jnp.full(9, 0.3)}
    narrow = jax.tree.map(lambda x: x.astype(BF16), wide)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), narrow)
    kept, w, p = precision(tx, "remainder"), wide, narrow
    s, t = tx.init(w), kept.init(p)
    for k in range(10):
        grads = jax.tree.map(lambda x: jnp.cos(x * (k + 1)), wide)  # noqa: B023
        u, s = tx.update(grads, s, w)
        v, t = kept.update(grads, t, p)
        w, p = apply_updates(w, u), apply_updates(p, v)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(join, p, t.beside), w)
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), wide, w))) > 1e-3


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_by_hand_comes_to_the_same(way):
    start, loss = problem()
    tx = precision(nablax.adamw(0.01), way)
    p = jax.tree.map(lambda x: x.astype(BF16), start)
    s, opt = tx.init(p), Optimizer(tx, p)

    @jax.jit
    def step(p, s, g):
        updates, s = tx.update(g, s, p)
        return apply_updates(p, updates), s

    for _ in range(30):
        grads = jax.grad(loss)(p)
        p, s = step(p, s, grads)
        opt.step(grads)
    jax.tree.map(np.testing.assert_array_equal, p, opt.params)
    jax.tree.map(np.testing.assert_array_equal, s, opt.state)


def test_updates_land_on_the_rounded_value():
    x = floats(20_000, 1)
    old = jnp.asarray(x[np.abs(x) < 1e30]).astype(BF16)
    rng = np.random.default_rng(2)
    step = jnp.asarray(rng.normal(size=old.shape) * np.abs(np.asarray(old, np.float32)), jnp.float32)
    tx = precision(nablax.scale(1.0))
    updates, state = tx.update(step, tx.init(old), old)
    got = np.asarray(apply_updates(old, updates), np.float32)
    np.testing.assert_array_equal(got, np.asarray(state.beside.astype(BF16), np.float32))


def test_a_restart_repeats_the_random_bits(tmp_path):
    start, loss = problem()
    p = jax.tree.map(lambda x: x.astype(BF16), start)
    opt = Optimizer(precision(nablax.sgd(1e-3), "stochastic", seed=3), p)
    for _ in range(3):
        opt.step(jax.grad(loss)(opt.params))
    opt.save(tmp_path / "x")
    other = Optimizer(precision(nablax.sgd(1e-3), "stochastic", seed=3), p)
    other.load(tmp_path / "x")
    for _ in range(3):
        a, b = opt.step(jax.grad(loss)(opt.params)), other.step(jax.grad(loss)(other.params))
        jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("way", WAYS)
def test_mixed_trees_pass_through(way):
    params = {"narrow": jnp.ones(3, BF16), "wide": jnp.ones(3), "none": None, "whole": jnp.arange(3)}
    grads = {"narrow": jnp.ones(3, BF16), "wide": jnp.ones(3), "none": None, "whole": None}
    tx = precision(nablax.sgd(0.1, momentum=0.9), way)
    updates, _ = tx.update(grads, tx.init(params), params)
    new = apply_updates(params, updates)
    assert {k: v.dtype.name for k, v in new.items() if v is not None} == {
        "narrow": "bfloat16", "wide": "float32", "whole": "int32"
    }  # fmt: skip
    np.testing.assert_allclose(new["wide"], 0.9, rtol=1e-6)
    assert abs(float(new["narrow"].astype(jnp.float32).mean()) - 0.9) < 5e-3
    np.testing.assert_array_equal(new["whole"], params["whole"])


@pytest.mark.parametrize("way", [None, "stochastic", "kahan"])
def test_float16_and_eight_bits(way):
    for dtype in (jnp.float16, jnp.float8_e4m3fn):
        opt = Optimizer(precision(nablax.sgd(0.01), way), jnp.ones(4, dtype))
        for _ in range(10):
            opt.step(jnp.ones(4))
        assert opt.params.dtype == dtype
        assert abs(float(opt.params.astype(jnp.float32).mean()) - 0.9) < 0.13


def test_groups_and_chains():
    params = {"w": jnp.ones((2, 3), BF16), "b": jnp.ones(3)}
    tx = nablax.partition_by_path({"w": precision(nablax.adamw(1e-3))}, default=nablax.sgd(0.1))
    chained = nablax.chain(nablax.clip_by_global_norm(1.0), precision(nablax.adamw(1e-3), "remainder"))
    for each in (tx, chained, nablax.MultiSteps(precision(nablax.adam(1e-3)), 2)):
        opt = Optimizer(each, params)
        for _ in range(4):
            new = opt.step(jax.tree.map(jnp.ones_like, params))
        assert new["w"].dtype == BF16
        assert float(new["w"][0, 0]) <= 1
    behind = nablax.chain(precision(nablax.adam(1e-3)), nablax.scale(0.1))
    with pytest.raises(nablax.ArgumentError, match="scale stands behind a transformation that decides"):
        behind.update(params, behind.init(params), params)


def test_inner_hyperparameters_are_live():
    opt = Optimizer(precision(nablax.adam(0.1)), jnp.ones(2, BF16))
    opt.step(jnp.ones(2))
    before = np.asarray(opt.state.beside)
    opt.hyperparameters["learning_rate"] = 0.0
    opt.step(jnp.ones(2))
    np.testing.assert_array_equal(opt.state.beside, before)
    assert opt.compilations == 1


def test_state_dtype():
    params = jnp.ones(8, BF16)
    state = precision(nablax.adam(0.1), state_dtype=BF16).init(params)
    assert (state.inner_state[0].mu.dtype, state.inner_state[0].nu.dtype) == (BF16, jnp.float32)
    opt = Optimizer(precision(nablax.adam(0.1), state_dtype=BF16), params)
    wide = Optimizer(precision(nablax.adam(0.1)), params)
    for k in range(5):
        a, b = opt.step(jnp.cos(jnp.arange(8.0) + k)), wide.step(jnp.cos(jnp.arange(8.0) + k))
    np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), atol=0.05)
    assert opt.state.inner_state[0].mu.dtype == BF16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: precision(nablax.adam(0.1), "up"), "rounding must be None or one of stochastic"),
        (lambda: precision(nablax.adam(0.1), "remainder").init(jnp.ones(2, jnp.float16)), "takes bfloat16"),
        (lambda: precision(nablax.adam(0.1)).update(jnp.ones(2), None), "precision reads the parameters"),
        (lambda: precision(3), "precision"),
        (lambda: dynamic_loss_scale(nablax.adam(0.1), 0.0), "initial"),
        (lambda: ema_params(nablax.adam(0.1), 1.5), "decay"),
        (lambda: lawa(nablax.adam(0.1), size=0), "size"),
        (lambda: nablax.averaged_params(nablax.adam(0.1).init(jnp.ones(2))), "no ema_params"),
        (lambda: train_step(lambda p: p.sum(), nablax.adam(0.1), loss_scale="static"), "'dynamic' or None"),
    ],
)
def test_errors(make, message):
    with pytest.raises(nablax.NablaxError, match=message):
        make()


# -- loss scaling -----------------------------------------------------------------------------------------------------


def test_where_nothing_overflows_the_run_is_the_same():
    start, loss = problem()
    tx, scaled = nablax.adamw(0.01), dynamic_loss_scale(nablax.adamw(0.01))
    p, s, q, t = start, tx.init(start), start, scaled.init(start)
    for _ in range(10):
        grads = jax.grad(loss)(p)
        u, s = tx.update(grads, s, p)
        v, t = scaled.update(jax.tree.map(lambda g: g * nablax.loss_scale_of(t), grads), t, q)  # noqa: B023
        p, q = apply_updates(p, u), apply_updates(q, v)
        jax.tree.map(np.testing.assert_array_equal, p, q)
    plain, step = train_step(loss, tx), train_step(loss, tx, loss_scale="dynamic")
    p, q = jax.tree.map(jnp.copy, (start, start))
    s, t = tx.init(p), step.init(q)
    for _ in range(20):
        p, s, m = plain(p, s)
        q, t, n = step(q, t)
        np.testing.assert_allclose(m["gradient_norm"], n["gradient_norm"], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), p, q)
    assert (float(n["loss_scale"]), int(n["skipped"])) == (2.0**16, 0)


def test_overflows_halve_the_scale_and_good_steps_double_it():
    tx = dynamic_loss_scale(nablax.sgd(1.0), 16.0, interval=3)
    p = jnp.ones(2)
    state, seen = tx.init(p), []
    for k in range(9):
        grads = nablax.loss_scale_of(state) * jnp.ones(2) if k not in (1, 2) else jnp.array([1.0, jnp.inf])
        updates, state = jax.jit(tx.update)(grads, state, p)
        p = apply_updates(p, updates)
        seen.append(float(state.loss_scale))
    assert seen == [16, 8, 4, 4, 4, 8, 8, 8, 16]
    assert int(state.skipped_steps) == 2
    np.testing.assert_array_equal(p, 1 - 7.0)


def test_small_float16_gradients_stay_alive():
    x = jnp.full(4, 1e-4, jnp.float16)

    def loss(p, x):
        return jnp.sum((p * x).astype(jnp.float32)) * 1e-4

    p = jnp.ones(4, jnp.float16)
    assert float(jnp.abs(jax.grad(loss)(p, x)).max()) == 0
    step = train_step(loss, precision(nablax.sgd(1e6)), loss_scale="dynamic", microbatches=1, donate=False)
    new, _, metrics = step(p, step.init(p), x)
    np.testing.assert_allclose(new.astype(jnp.float32), 1 - 1e-2, atol=2e-3)
    assert int(metrics["skipped"]) == 0


def test_train_step_skips_and_counts():
    def loss(p, x):
        return jnp.sum(p * x)

    for skip in (False, True):
        step = train_step(loss, nablax.adam(0.1), loss_scale="dynamic", microbatches=2, skip_nonfinite=skip)
        p = jnp.ones(2)
        state = step.init(p)
        p, state, metrics = step(p, state, jnp.array([[1.0, 1.0], [jnp.inf, 1.0]]))
        assert int(metrics["skipped"]) == 1
        np.testing.assert_array_equal(p, 1.0)
        p, state, metrics = step(p, state, jnp.ones((2, 2)))
        assert int(metrics["skipped"]) == 0
        np.testing.assert_allclose(p, 0.9, rtol=1e-5)
    with pytest.raises(nablax.StructureError, match="step.init"):
        step(p, nablax.adam(0.1).init(p), jnp.ones((2, 2)))


# -- averages ---------------------------------------------------------------------------------------------------------


def points(tx, n=12, dtype=jnp.float32):
    opt = Optimizer(tx, jnp.zeros(2, dtype))
    seen, averages = [], []
    for k in range(n):
        opt.step(jnp.array([-1.0, 0.5 * k]))
        seen.append(np.asarray(opt.params, np.float64))
        averages.append(np.asarray(opt.averaged_params, np.float64))
    return np.array(seen), np.array(averages), opt


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("warmup", [True, False])
def test_exponential_average(debias, warmup):
    seen, averages, _ = points(ema_params(nablax.sgd(1.0), 0.9, debias=debias, warmup=warmup))
    total, weight = np.zeros(2), 0.0
    for n, p in enumerate(seen, 1):
        d = min(0.9, (1 + n) / (10 + n)) if warmup else 0.9
        if n == 1 and not debias:
            d = 0.0
        total, weight = d * total + (1 - d) * p, d * weight + (1 - d)
        np.testing.assert_allclose(averages[n - 1], total / weight, rtol=1e-5)


def test_exponential_average_of_some_points():
    seen, averages, _ = points(ema_params(nablax.sgd(1.0), 0.9, start=4, period=3))
    np.testing.assert_allclose(averages[5], seen[5])  # nothing was taken yet: the latest
    np.testing.assert_allclose(averages[8], seen[6], rtol=1e-6)
    np.testing.assert_allclose(averages[11], (0.09 * seen[6] + 0.1 * seen[9]) / 0.19, rtol=1e-5)


def test_stochastic_weight_average():
    seen, averages, _ = points(swa(nablax.sgd(1.0), start=4, period=3))
    np.testing.assert_allclose(averages[3], seen[3])
    np.testing.assert_allclose(averages[5], seen[5])  # nothing was taken yet: the latest
    np.testing.assert_allclose(averages[6], seen[6])
    np.testing.assert_allclose(averages[8], seen[6])
    np.testing.assert_allclose(averages[11], (seen[6] + seen[9]) / 2, rtol=1e-6)


def test_latest_weight_average():
    seen, averages, _ = points(lawa(nablax.sgd(1.0), size=3, period=2))
    np.testing.assert_allclose(averages[4], (seen[1] + seen[3]) / 2, rtol=1e-6)
    np.testing.assert_allclose(averages[11], (seen[7] + seen[9] + seen[11]) / 3, rtol=1e-6)


def test_averages_of_narrow_parameters_are_wide(tmp_path):
    tx = ema_params(precision(nablax.sgd(1e-4)), 0.5)
    _, averages, opt = points(tx, dtype=BF16)
    assert opt.averaged_params.dtype == jnp.float32
    _wide, expected, _ = points(ema_params(nablax.sgd(1e-4), 0.5))
    np.testing.assert_allclose(averages, expected, rtol=1e-5)
    opt.save(tmp_path / "x")
    other = Optimizer(tx, jnp.zeros(2, BF16))
    other.load(tmp_path / "x")
    np.testing.assert_array_equal(other.averaged_params, opt.averaged_params)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: ema_params(tx, 0.9, warmup=True, start=2, period=2),
        lambda tx: swa(tx, start=3, period=2),
        lambda tx: lawa(tx, size=3, period=2),
    ],
    ids=["ema", "swa", "lawa"],
)  # fmt: skip
def test_an_average_goes_on_from_a_checkpoint(wrap, tmp_path):
    tx = wrap(precision(nablax.adamw(1e-2), "remainder"))
    _, _, opt = points(tx, 7, BF16)
    opt.save(tmp_path / "x")
    other = Optimizer(tx, jnp.ones(2, BF16))
    other.load(tmp_path / "x")
    for k in range(6):
        for each in (opt, other):
            each.step(jnp.array([1.0, -k]))
        np.testing.assert_array_equal(other.averaged_params, opt.averaged_params)
    assert not np.array_equal(opt.averaged_params, opt.params.astype(jnp.float32))


def test_an_average_leaves_the_run_as_it_was():
    start, loss = problem()
    plain, kept = Optimizer(nablax.adamw(0.01), start), Optimizer(ema_params(nablax.adamw(0.01)), start)
    for _ in range(5):
        a, b = plain.step(jax.grad(loss)(plain.params)), kept.step(jax.grad(loss)(kept.params))
    jax.tree.map(np.testing.assert_array_equal, a, b)
