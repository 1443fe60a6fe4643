import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from games.loops import SPLITTERS, bilinear, play, scan, stack
from nablax.core import (
    ArgumentError,
    HyperparameterError,
    MissingParamsError,
    StructureError,
    apply_updates,
    chain,
    hyperparams,
    with_hyperparams,
)
from nablax.games import anchored, extragradient, is_extrapolation, past_extragradient
from nablax.optimizers import adam, adamw, sgd
from nablax.transforms import clip, inject_hyperparams, masked


def rotation(z):
    """The field of min max x y."""
    return jnp.stack([z[1], -z[0]])


def quadratic(z):
    return jnp.array([[1.0, 2.0], [-2.0, 0.5]]) @ z


def test_phases_extrapolate_and_land():
    tx, z = extragradient(0.25), jnp.array([1.0, 2.0])
    state = tx.init(z)
    assert not is_extrapolation(state)
    u, state = tx.update(quadratic(z), state, z)
    half = z + u
    np.testing.assert_allclose(half, z - 0.25 * quadratic(z), rtol=1e-6)
    assert is_extrapolation(state)
    u, state = tx.update(quadratic(half), state, half)
    np.testing.assert_allclose(half + u, z - 0.25 * quadratic(half), rtol=1e-6)
    assert not is_extrapolation(state)


def test_second_phase_lands_from_wherever_the_parameters_were_moved():
    # The remembered point counts, not the sum of updates: a projection between the phases loses nothing.
    tx, z = extragradient(1.0), jnp.array([1.0, 2.0])
    _, state = tx.update(quadratic(z), tx.init(z), z)
    projected = jnp.array([0.3, 0.4])
    u, _ = tx.update(quadratic(projected), state, projected)
    np.testing.assert_allclose(projected + u, z - quadratic(projected), rtol=1e-6)


def expected_bilinear(lr, z, updates):
    x, y = z
    path = []
    for _ in range(updates // 2):
        half = x - lr * y, y + lr * x
        x, y = x - lr * half[1], y + lr * half[0]
        path += [half, (x, y)]
    return np.array(path)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("other", [extragradient(-0.3), extragradient(0.3, ascend=True)])
def test_players_with_own_extragradients(splitter, other):
    tx = SPLITTERS[splitter]({"down": extragradient(0.3), "up": other}, {"x": "down", "y": "up"})
    z = {"x": jnp.array(1.0), "y": jnp.array(0.5)}
    expected = expected_bilinear(0.3, (1.0, 0.5), 8)
    path, state = play(tx, bilinear, z, 7)
    path = stack(path)
    np.testing.assert_allclose(np.stack([path["x"], path["y"]], 1), expected[:7], rtol=1e-5)
    assert is_extrapolation(state)
    path, state = scan(tx, bilinear, z, 8)
    np.testing.assert_allclose(np.stack([path["x"], path["y"]], 1), expected, rtol=1e-5)
    assert not is_extrapolation(state)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_states_of_players_are_independent(splitter):
    tx = SPLITTERS[splitter]({"game": extragradient(0.3), "plain": sgd(0.1)}, {"x": "game", "y": "plain"})
    path, _ = play(tx, bilinear, {"x": jnp.array(1.0), "y": jnp.array(0.5)}, 2)
    np.testing.assert_allclose(path[0]["x"], 1 - 0.3 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(path[0]["y"], 0.5 - 0.1 * 1.0, rtol=1e-6)
    np.testing.assert_allclose(path[1]["x"], 1 - 0.3 * path[0]["y"], rtol=1e-6)  # from the remembered x = 1
    np.testing.assert_allclose(path[1]["y"], path[0]["y"] - 0.1 * path[0]["x"], rtol=1e-6)


def test_scan_equals_the_loop_and_states_keep_their_types():
    tx, z = extragradient(base=adam(0.1)), jnp.array([1.0, 2.0])
    path, state = play(tx, quadratic, z, 6)
    scanned, scanned_state = scan(tx, quadratic, z, 6)
    np.testing.assert_allclose(jnp.stack(path), scanned, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(tx.init(z)), jax.tree.leaves(state), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    assert jax.tree.structure(state) == jax.tree.structure(scanned_state)


def rates(tx, updates):
    """The learning rate of each update, read off the steps from the remembered point."""
    z, state, out = jnp.array([0.0]), None, []
    state = tx.init(z)
    start = z
    for k in range(updates):
        u, state = tx.update(jnp.array([1.0]), state, z)
        z = apply_updates(z, u)
        out.append(float((start - z)[0]))
        start = z if k % 2 else start
    return out


def test_schedules_count_full_steps():
    def schedule(k):
        return 1.0 / (k + 1.0)

    expected = [1, 1, 1 / 2, 1 / 2, 1 / 3, 1 / 3]
    np.testing.assert_allclose(rates(extragradient(schedule), 6), expected, rtol=1e-6)
    np.testing.assert_allclose(rates(extragradient(base=sgd(schedule)), 6), expected, rtol=1e-6)
    # Adam with equal gradients steps by the learning rate: its own count of moments goes on in every update.
    np.testing.assert_allclose(rates(extragradient(base=adam(schedule)), 6), expected, rtol=1e-4)
    np.testing.assert_allclose(rates(extragradient(schedule, base=optax.scale(-1.0)), 6), expected, rtol=1e-6)
    np.testing.assert_allclose(rates(anchored(schedule, "eag-c"), 2), [1, 1], rtol=1e-6)


def test_extra_adam_is_algorithm_4():
    lr, b1, b2, eps = 0.1, 0.8, 0.9, 1e-8
    m = v = np.zeros(2)
    z, t, expected = np.array([1.0, 2.0]), 0, []

    def direction(g):
        nonlocal m, v, t
        t += 1
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        return lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    for _ in range(3):
        half = z - direction(np.asarray(quadratic(z)))
        z = z - direction(np.asarray(quadratic(half)))
        expected += [half, z]
    path, _ = play(extragradient(base=adam(lr, b1, b2, eps)), quadratic, jnp.array([1.0, 2.0]), 6)
    np.testing.assert_allclose(path, expected, rtol=1e-5)
    path, _ = play(extragradient(base=optax.adam(lr, b1, b2, eps)), quadratic, jnp.array([1.0, 2.0]), 6)
    np.testing.assert_allclose(path, expected, rtol=1e-5)


def test_ascending_base_still_decays_its_parameters():
    tx = extragradient(base=adamw(0.1, weight_decay=0.5), ascend=True)
    z = jnp.array([10.0])
    u, _ = tx.update(jnp.array([1.0]), tx.init(z), z)
    np.testing.assert_allclose(u, 0.1 * (1 - 0.5 * 10), rtol=1e-5)


def test_any_inner_transformation_and_learning_rate_on_top():
    z = jnp.array([1.0, 2.0])
    inner = chain(clip(0.5), sgd(1.0, momentum=0.9))
    path, _ = play(extragradient(0.1, base=inner), rotation, z, 2)
    np.testing.assert_allclose(path[0], z - 0.1 * np.clip(rotation(z), -0.5, 0.5), rtol=1e-6)
    kept = 0.9 * np.clip(rotation(z), -0.5, 0.5) + np.clip(rotation(path[0]), -0.5, 0.5)
    np.testing.assert_allclose(path[1], z - 0.1 * kept, rtol=1e-6)


def test_inside_a_chain_and_a_mask():
    tx = chain(masked(extragradient(0.5), {"x": True, "y": False}), clip(10.0))
    z = {"x": jnp.array(1.0), "y": jnp.array(2.0)}
    path, state = play(tx, lambda z: {"x": jnp.array(1.0), "y": jnp.array(-1.0)}, z, 2)
    assert float(path[1]["x"]) == 0.5
    assert float(path[1]["y"]) == 0.0
    assert not is_extrapolation(state)


def test_low_precision_and_missing_leaves():
    z = {
        "w": jnp.ones(3, jnp.bfloat16),
        "frozen": None,
        "s": jnp.ones((), jnp.float16),
        "c": jnp.array(1 + 2j),
    }
    g = jax.tree.map(lambda p: jnp.full_like(p, 0.5), z)
    tx = extragradient(0.5)
    state = tx.init(z)
    for expected in (-0.25, 0.0):
        u, new = tx.update(g, state, z)
        assert jax.tree.map(lambda x: x.dtype, u) == jax.tree.map(lambda x: x.dtype, z)
        assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, state)
        assert float(u["s"]) == expected
        z, state = apply_updates(z, u), new
    none_gradient = {**g, "s": None}
    u, _ = tx.update(none_gradient, state, z)
    assert u["s"] is None


def test_traced_learning_rate_and_hyperparameters():
    z = jnp.array([1.0, 2.0])

    @jax.jit
    def last(lr):
        return play(extragradient(lr), rotation, z, 2)[0][1]

    np.testing.assert_allclose(last(-0.3), play(extragradient(-0.3), rotation, z, 2)[0][1], rtol=1e-6)
    tx = extragradient(0.1)
    assert hyperparams(tx) == {"extragradient/learning_rate": 0.1}
    faster = with_hyperparams(tx, {"extragradient/learning_rate": 0.3})
    np.testing.assert_allclose(
        play(faster, rotation, z, 2)[0][1], play(extragradient(0.3), rotation, z, 2)[0][1]
    )
    tx = extragradient(base=adam(lambda k: 0.1 / (k + 1)))
    slower = with_hyperparams(tx, {"extragradient/base/learning_rate": lambda k: 0.5**k})
    np.testing.assert_allclose(rates(slower, 4), [1, 1, 0.5, 0.5], rtol=1e-4)


def test_state_may_be_donated_with_the_parameters():
    for tx in (extragradient(0.1), anchored(0.1)):
        z = jnp.array([1.0, 2.0])
        step = jax.jit(lambda z, s, tx=tx: tx.update(rotation(z), s, z), donate_argnums=(0, 1))
        u, _ = step(z, tx.init(z))
        assert np.isfinite(u).all()


def test_extra_arguments_reach_the_base():
    def update(g, state, params=None, *, value):
        return jax.tree.map(lambda x: -value * x, g), state

    base = optax.GradientTransformationExtraArgs(lambda p: (), update)
    tx = extragradient(base=base)
    u, _ = tx.update(jnp.ones(1), tx.init(jnp.zeros(1)), jnp.zeros(1), value=3.0)
    np.testing.assert_allclose(u, -3.0)


def test_two_time_scales():
    split = next(iter(SPLITTERS.values()))
    tx = split({"slow": extragradient(0.1), "fast": extragradient(-0.6)}, {"x": "slow", "y": "fast"})
    path, _ = play(tx, bilinear, {"x": jnp.array(1.0), "y": jnp.array(0.5)}, 2)
    half = 1 - 0.1 * 0.5, 0.5 + 0.6 * 1
    np.testing.assert_allclose(
        [path[1]["x"], path[1]["y"]], [1 - 0.1 * half[1], 0.5 + 0.6 * half[0]], rtol=1e-6
    )


def test_bad_input():
    z = jnp.zeros(2)
    with pytest.raises(ArgumentError, match="give a learning_rate or a base"):
        extragradient()
    with pytest.raises(ArgumentError, match="extragradient: learning_rate must be a real number"):
        extragradient("fast")
    with pytest.raises(HyperparameterError, match="extragradient: learning_rate"):
        extragradient(float("nan"))
    with pytest.raises(HyperparameterError, match=r"give one of them, got -0\.1"):
        extragradient(-0.1, ascend=True)
    with pytest.raises(HyperparameterError, match="give one of them"):
        extragradient(np.float32(-0.1), ascend=True)
    for make in (extragradient, anchored, past_extragradient):
        for rate in (0.0, float("inf")):
            with pytest.raises(HyperparameterError, match="learning_rate must be finite"):
                make(rate)
    with pytest.raises(ArgumentError, match="extragradient: base must be a gradient transformation"):
        extragradient(base=3)
    with pytest.raises(
        MissingParamsError, match=r"extragradient reads the parameters.*update\(gradients, state, params\)"
    ):
        extragradient(0.1).update(z, extragradient(0.1).init(z))
    with pytest.raises(ArgumentError, match="no state of extragradient or anchored"):
        is_extrapolation(adam(0.1).init(z))


def test_structures_that_differ_between_phases():
    z = {"x": jnp.zeros(2), "y": jnp.zeros(3)}
    tx = extragradient(0.1)
    _, state = tx.update(z, tx.init(z), z)
    fewer = {"x": jnp.zeros(2)}
    with pytest.raises(StructureError, match=r"extragradient: updates and .* differ at .*y"):
        tx.update(fewer, state, fewer)
    other = {"x": jnp.zeros(2), "y": jnp.zeros(4)}
    with pytest.raises(
        StructureError, match=r"extragradient: .*differ at .*y.*: shape \(4,\) against \(3,\)"
    ):
        tx.update(other, state, other)


def test_injected_schedules_count_full_steps():
    def schedule(count):
        return 0.1 / (1 + count)

    def path(base):
        tx, z = extragradient(base=base), jnp.array([1.0, -0.5])
        state, found = tx.init(z), []
        for _ in range(8):
            updates, state = tx.update(jnp.array([z[1], -z[0]]), state, z)
            z = z + updates
            found.append(z)
        return jnp.stack(found)

    plain = path(chain(clip(10.0), adam(schedule)))
    injected = path(chain(clip(10.0), inject_hyperparams(adam)(learning_rate=schedule)))
    np.testing.assert_allclose(injected, plain, rtol=1e-5)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_extra_adam_with_a_schedule_for_each_player(splitter):
    # Adam is elementwise, so players with their own Extra-Adams move as the two entries of one vector do.
    def schedule(count):
        return 0.1 / (1 + count)

    players = {
        "down": extragradient(base=adam(schedule)),
        "up": extragradient(base=adam(schedule), ascend=True),
    }
    tx = SPLITTERS[splitter](players, {"x": "down", "y": "up"})
    apart, _ = scan(tx, bilinear, {"x": jnp.array(1.0), "y": jnp.array(-0.5)}, 8)
    joint, _ = scan(extragradient(base=adam(schedule)), rotation, jnp.array([1.0, -0.5]), 8)
    np.testing.assert_allclose(np.stack([apart["x"], apart["y"]], 1), joint, rtol=1e-5)
