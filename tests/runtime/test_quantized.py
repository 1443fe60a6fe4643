"""States of 8 and 4 bits: the maps, blocks, and what runs with them."""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from catalogue import OPTIMIZERS, extras, square_sum
from nablax import Optimizer, apply_updates, quantize_state
from nablax.core import fields, first_moment, leafwise, second_moment
from nablax.runtime._offload import check_host_memory
from nablax.runtime._quantized import _blocks as blocks
from nablax.runtime._quantized._form import Form, box_of
from nablax.runtime._quantized._maps import doubling_map, power_map
from nablax.runtime._random_bits import random_bits

MAPS = {
    "signed 8": power_map(7, 2, zero=True),
    "positive 8": power_map(8, 2, zero=False),
    "signed 4": power_map(3, 1, zero=True),
    "positive 4": doubling_map(4),
}
STRAIGHT = [name for name in MAPS if name != "positive 4"]
PARAMS = {
    "w": jnp.linspace(-1, 1, 24 * 10).reshape(24, 10),
    "odd": jnp.linspace(0.2, 1, 3 * 7 * 5).reshape(3, 7, 5),
    "vector": jnp.linspace(-1, 0.5, 37),
    "scalar": jnp.float32(0.3),
}


def values(known):
    """The numbers of a map, by its codes."""
    return np.asarray(jax.jit(known.value)(jnp.arange(known.last + 1)), np.float64)


def smallest(known):
    return values(known)[0] or values(known)[1]


def form(shape, bits=8, signed=True, block=256, dtype="float32"):
    return Form.of(jax.ShapeDtypeStruct(shape, dtype), bits, signed, block)


def encode(x, known):
    (q,) = blocks.encode([x], [known])
    return q


def decode(q):
    (x,) = blocks.decode(q)
    return x


def back_and_forth(x, known):
    return decode(encode(x, known))


def twice(x, known):
    q = encode(x, known)
    back = decode(q)
    return q, back, encode(jax.lax.optimization_barrier(back), known)


def gradient(params, k=0):
    return jax.tree.map(lambda x: jnp.cos(3 * x + k) - 0.2 * x, params)


def equal(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(np.asarray(x), np.asarray(y), 1e-5, 1e-7), a, b)


def nbytes(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


# -- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRAIGHT)
def test_a_map_is_a_power_at_powers_of_two_and_straight_between_codes(name):
    known = MAPS[name]
    power = 2.0**known.shift
    ends = 2.0 ** np.arange(
        9
    )  # a range [p, 2 p] of m rises in as many pieces as the power says, each twice the last
    m = np.concatenate([p * (1 + np.arange(power) / power) for p in ends])
    numbers = np.concatenate([p**power * 2.0 ** np.arange(power) for p in ends])
    wanted = np.interp(np.arange(known.last + 1) + known.first, m, numbers)
    wanted /= 2.0 ** (np.floor(np.log2(wanted[-1])) - 8)  # so that the largest is 256 to 512
    low = wanted[0]
    wanted -= low if known.zero else 0
    np.testing.assert_array_equal(values(known), wanted)
    assert (known.top, known.low) == (wanted[-1], low)
    codes = np.arange(known.last + 1, dtype=np.int32)
    np.testing.assert_array_equal(known.nearest(known.value(jnp.asarray(codes))), codes)


@pytest.mark.parametrize("name", MAPS)
def test_the_nearest_code_is_the_nearest_of_all(name):
    known, rng = MAPS[name], np.random.default_rng(0)
    table = values(known)
    middles = np.float32((table[1:] + table[:-1]) / 2)
    x = [[0, 1e-45, 1e-40, 1.2e-38, 1], table, rng.random(20_000) * known.top]
    x += [known.top * 10 ** rng.uniform(-12, 0, 20_000), np.nextafter(middles, 0), middles]
    x = np.concatenate([*x, np.nextafter(middles, np.float32(known.top))]).astype(np.float32)
    got = np.asarray(jax.jit(known.nearest)(jnp.asarray(x)))
    x = np.where(got == np.searchsorted(table, smallest(known)), np.maximum(x, smallest(known)), x)
    if known.zero:
        assert (got[x == 0] == 0).all()
    else:
        assert (table[got] > 0).all()
    distances = np.abs(np.float64(x)[:, None] - table)
    mine = distances[np.arange(len(x)), got]
    assert (mine <= distances.min(1) + 2.0**-21 * x).all()  # of two as near in float32, either
    far = np.abs(np.float64(x)[:, None] - middles).min(1) > 2.0**-20 * x
    np.testing.assert_array_equal(got[far], distances.argmin(1)[far])
    np.testing.assert_array_equal(known.nearest(jnp.float32(table))[1:], np.arange(1, len(table)))


@pytest.mark.parametrize("name", STRAIGHT)
def test_a_random_neighbour_is_right_in_the_mean(name):
    known, n = MAPS[name], 1 << 14
    table = values(known)
    low = smallest(known)
    x = np.float32([low, 1.3 * low, 0.01 * known.top, 0.3 * known.top, 0.987 * known.top, known.top])
    x = np.maximum(x, np.float32(low))
    bits = random_bits(jnp.array([1, 2], jnp.uint32), 3, (len(x), n))
    got = table[np.asarray(jax.jit(known.neighbour)(jnp.repeat(jnp.asarray(x)[:, None], n, 1), bits))]
    assert (np.abs(got - x[:, None]) < np.diff(table).max() + 1e-3).all()
    for mean, spread, wanted in zip(got.mean(1), got.std(1), x, strict=True):
        # At least as if one of n draws had taken the other neighbour.
        above = min(np.searchsorted(table, wanted, side="right"), known.last)
        spread = max(spread, (table[above] - table[above - 1]) / np.sqrt(n))
        assert abs(mean - wanted) <= 4.5 * spread / np.sqrt(n) + 1e-6 * wanted


def test_second_moments_in_4_bits_are_powers_of_two():
    np.testing.assert_array_equal(values(MAPS["positive 4"]), 2.0 ** np.arange(1, 17))


def test_chances_of_second_moments_in_4_bits_are_bent():
    known, words = MAPS["positive 4"], np.random.default_rng(0).integers(0, 2**32, 1 << 20, np.uint32)
    chances = np.sort(np.asarray(known.chance(jnp.asarray(words))) / 2**known.digits)
    assert chances[0] >= 0
    assert chances[-1] < 1
    for f in np.linspace(0.01, 0.99, 33):
        up = 1 - np.searchsorted(chances, 1 - f) / len(chances)
        wanted = f + 2 / 7 * f * (1 - f)
        assert abs(up - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / len(chances))


def test_steps_of_an_average_whose_codes_are_far_apart_are_as_long_as_without_rounding():
    known, n, b2 = MAPS["positive 4"], 1 << 11, 0.98
    g = jax.random.normal(jax.random.key(0), (700, n)) * 2.0**5.5

    def left(chances):
        """The mean of 1 / sqrt(v) over entries and late steps."""

        def step(v, told):
            k, g = told
            v = b2 * v + (1 - b2) * g**2
            code = known.neighbour(v, random_bits(jnp.stack([k, k]), 0, (n,)))
            v = known.value(code) if chances else v
            return v, jnp.mean(jax.lax.rsqrt(v))

        told = jnp.arange(len(g), dtype=jnp.uint32), g
        return jax.jit(lambda: jax.lax.scan(step, g[0] ** 2, told)[1])()[-450:].mean()

    # With the mean of v kept, 1.15.
    assert 0.96 < float(left(True) / left(False)) < 1.0


@pytest.mark.parametrize("name", MAPS)
def test_the_largest_of_a_block_has_the_last_code_whatever_the_chance(name):
    known = MAPS[name]
    sizes = np.random.default_rng(0).uniform(1, 2, 1 << 14).astype(np.float32)
    top = jax.jit(lambda s: known.top / s * s)(sizes)  # rounded up or down, as in `encode`
    top = jnp.append(
        top, np.nextafter(np.float32(known.top), np.float32(np.inf))
    )  # where top is a power of two
    assert float(top.max()) > known.top > float(top.min())
    for bits in (0, 2**32 - 1, 2**32 - 2**16):
        assert (known.neighbour(top, jnp.uint32(bits)) == known.last).all()
        if known.zero:
            assert known.neighbour(jnp.float32(0), jnp.uint32(bits)) == 0


# -- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [1, 2])
@pytest.mark.parametrize(
    "shape", [(50257,), (7,), (1,), (1000, 768), (1024, 10), (3, 3, 64, 64), (50, 257), (64, 1000), (2, 1, 1)]
)
def test_blocks_hold_enough_entries_and_no_more_than_allowed(shape, pair):
    box = box_of(shape, 256, pair)
    assert np.prod(box) <= 256
    assert box[max(len(shape) - 2, 0)] % pair == 0
    blocks = np.prod([-(-n // b) for n, b in zip(shape, box, strict=True)])
    assert blocks <= max(1, 4.2 * np.prod(shape) / 256)
    for bits in (8, 4):
        known = form(shape, bits)
        assert np.prod(known.filled) <= 1.02 * np.prod(shape) + 16
        assert known.filled[known.paired] % (8 // bits) == 0


@pytest.mark.parametrize(
    ("n", "width"),
    [(768, 256), (896, 224), (448, 112), (512, 256), (480, 160), (777, 256), (300, 256), (10**6, 200), (1000, 256),
     (1600, 200), (5504, 172), (29568, 176), (50257, 256)],
)  # fmt: skip
def test_blocks_along_rows_are_spread_over_devices_and_found_by_vectors(n, width):
    assert box_of((64, n), 256, 1) == (1, width)
    assert box_of((n,), 256, 1) == (width,)


@pytest.mark.parametrize("pair", [1, 2])
def test_blocks_have_no_more_entries_than_allowed_whatever_the_shape(pair):
    rng = np.random.default_rng(0)
    for _ in range(2000):
        shape = tuple(map(int, rng.choice([1, 2, 3, 5, 7, 16, 25, 64, 85, 300, 1000], rng.integers(1, 6))))
        block = int(rng.choice([2, 3, 5, 17, 64, 128, 250, 256, 1000]))
        box = box_of(shape, block, pair)
        assert np.prod(box) <= block
        assert box[max(len(shape) - 2, 0)] % pair == 0


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(50, 30), (9, 100), (257,), (3, 7, 5)])
def test_an_array_comes_back_to_within_half_a_step_of_its_block(shape, bits):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x.reshape(-1)[0] = 7.0
    for signed in (True, False):
        known = form(shape, bits, signed, 64)
        here = jnp.asarray(x if signed else x**2)
        q, back, again = jax.jit(twice, static_argnums=1)(here, known)
        assert q.codes.dtype == jnp.uint8
        assert q.codes.size == np.prod(known.filled) * bits // 8
        assert (back.shape, back.dtype) == (shape, jnp.float32)
        half = np.diff(values(known.map)).max() / known.map.top / 2
        scale = np.asarray(known.cut(known.each(q.scales)))
        here, lowest = np.asarray(here), values(known.map).min() / known.map.top * scale
        # A map without zero: what is smaller than its smallest number becomes that.
        expected = np.maximum(here, lowest) if bits == 4 and not signed else here
        assert (np.abs(np.asarray(back) - expected) <= (half + 1e-6) * scale).all()
        np.testing.assert_allclose(np.abs(back).max(), np.abs(here).max(), rtol=1e-6)
        np.testing.assert_array_equal(again.codes, q.codes)
        np.testing.assert_allclose(again.scales, q.scales, rtol=3e-7)


def test_what_a_float_cannot_hold_stays_in_its_block():
    x = np.ones((12, 64), np.float32)
    x[0, 3], x[2, 5], x[4, 7], x[6:8], x[8:10] = np.nan, -np.inf, np.inf, 1e-40, 0
    for bits in (8, 4):
        known = form(x.shape, bits, True, 128 if bits == 4 else 64)
        back = np.asarray(jax.jit(back_and_forth, static_argnums=1)(jnp.asarray(x), known))
        for row in (0, 2, 4):
            assert np.isnan(back[row]).all()
        np.testing.assert_array_equal(back[6:10], 0)
        np.testing.assert_array_equal(back[10:], 1)


def test_blocks_of_any_size():
    x = np.float32(np.random.default_rng(0).normal(size=(4, 64)))
    x /= np.abs(x).max()
    for signed, bits in ((True, 8), (False, 8), (True, 4), (False, 4)):
        here = jnp.asarray(x if signed else np.abs(x))
        there = jax.jit(functools.partial(back_and_forth, known=form(x.shape, bits, signed, 64)))
        for size in (2.0**-98, 2.0**-60, 2.0**60, 2.0**127):
            np.testing.assert_allclose(np.asarray(there(here * size)) / size, there(here), rtol=1e-6)


def test_no_second_moment_becomes_zero():
    x = 10.0 ** jnp.linspace(-20, 0, 256)
    for bits in (8, 4):
        back = decode(encode(x, form(x.shape, bits, False)))
        assert (back > 0).all()
        assert decode(encode(jnp.zeros(256), form(x.shape, bits, False))).max() == 0


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("shape", "block"),
    [((64, 512), 512), ((6, 4096), 2048), ((40, 10), 128), ((43, 10), 128), ((257,), 96), ((5, 300), 128),
     ((3, 6, 5), 256), ((2, 50, 7, 5), 64), ((3, 1600), 256), ((2000,), 256)],
)  # fmt: skip
def test_a_scale_is_the_largest_of_its_block(shape, block, bits):
    x = np.float32(np.random.default_rng(0).normal(size=shape))

    def wanted(x, box):
        """By hand: every entry's block."""
        found = np.zeros([-(-n // b) for n, b in zip(shape, box, strict=True)], np.float32)
        at = tuple(i // b for i, b in zip(np.indices(shape), box, strict=True))
        np.maximum.at(found, at, np.abs(x))
        return found

    known = form(shape, bits, block=block)
    np.testing.assert_array_equal(encode(jnp.asarray(x), known).scales, wanted(x, known.box))
    forms = joint_forms(shape, block, bits)
    for y, q in zip((x, x**2), blocks.encode([jnp.asarray(x), jnp.asarray(x**2)], forms), strict=True):
        np.testing.assert_array_equal(q.scales, wanted(y, forms[0].box))


def test_signs_and_halves_of_bytes_are_kept():
    x = jnp.where(jnp.arange(128) % 3 == 0, -1.0, 1.0).reshape(8, 16)
    for bits in (8, 4):
        np.testing.assert_allclose(decode(encode(x, form(x.shape, bits))), x, rtol=1e-6)


def joint_forms(shape, block=128, bits=4):
    like = jax.ShapeDtypeStruct(shape, "float32")
    return [Form.of(like, bits, signed, block, joint=True) for signed in (True, False)]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(8, 128), (50, 30), (5, 300), (2, 2, 2000), (257,), (3, 7, 5)])
def test_two_arrays_with_joint_codes_come_back_as_each_alone_would(shape, bits):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    arrays, forms = [x, 3 * x**2], joint_forms(shape, bits=bits)
    first, second = blocks.encode(arrays, forms)
    word = {8: jnp.uint16, 4: jnp.uint8}[bits]
    laid = {(2, 2, 2000): (2, 2, 16, 125)}.get(shape, shape)
    assert (first.codes.shape, first.codes.dtype, second.codes) == (laid, word, None)
    for found, here, q, known in zip(
        blocks.decode(first, second), arrays, (first, second), forms, strict=True
    ):
        table = values(known.map) / known.map.top
        table = np.concatenate([-table[::-1], table]) if known.signed else table
        scale = np.asarray(known.cut(known.each(q.scales)))
        nearest = table[np.abs((np.asarray(here) / scale)[..., None] - table).argmin(-1)]
        np.testing.assert_allclose(found, nearest * scale, rtol=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
def test_chances_of_joint_codes_are_right_in_the_mean_and_know_nothing_of_each_other(bits):
    n, forms = 1 << 14, joint_forms((1 << 14, 2), 2, bits)
    arrays = [jnp.tile(jnp.array([1.0, x]), (n, 1)) for x in (-0.37, 0.37)]
    draw = jnp.array([3, 4], jnp.uint32), jnp.uint32(5)
    found = [np.asarray(x)[:, 1] for x in blocks.decode(*blocks.encode(arrays, forms, draw))]
    # In 4 bits 0.37 is 1/4 (1 + f), f = 0.48; second moments are rounded up with a probability of f + 2/7 f (1 - f).
    up = 0.48 + 2 / 7 * 0.48 * 0.52
    for x, wanted in zip(found, (-0.37, {8: 0.37, 4: (1 + up) / 4}[bits]), strict=True):
        assert len(set(x)) == 2
        assert abs(x.mean() - wanted) < 4.5 * x.std() / np.sqrt(n)
    assert abs(np.corrcoef(*found)[0, 1]) < 4.5 / np.sqrt(n)


@pytest.mark.parametrize(("bits", "shape"), [(8, (64,)), (4, (64,)), (8, (8, 8)), (4, (4, 4, 4))])
def test_errors_within_a_block_know_nothing_of_each_other(bits, shape):
    """The sum of what is rounded in a block is as far off as of as many independent errors."""
    n, width = 1 << 12, 64
    x = np.float32(np.random.default_rng(0).uniform(0.1, 0.9, width)) * (-1.0) ** np.arange(width)
    x[0] = 1
    arrays = [jnp.tile(jnp.asarray(y, jnp.float32), (n, 1)).reshape(n, *shape) for y in (x, x**2)]
    draw = jnp.array([5, 6], jnp.uint32), jnp.uint32(7)
    forms = joint_forms((n, *shape), width, bits)
    assert forms[0].box == (1, *shape)
    for got in blocks.decode(*blocks.encode(arrays, forms, draw)):
        got = np.asarray(got).reshape(n, width)
        errors = np.float64(got - got.mean(0))[:, 1:]
        related = np.corrcoef(errors.T)
        assert np.abs(related - np.eye(width - 1)).max() < 6 / np.sqrt(n)
        for weights in (np.ones(width - 1), np.sign(x[1:]), np.arange(1, width)):
            ratio = np.var(errors @ weights) / (errors.var(0) @ weights**2)
            assert abs(ratio - 1) < 6 * np.sqrt(2 / n)


# -- the wrapper ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "bytes_"), [(8, 2.1), (4, 1.1)])
def test_bytes_a_parameter(bits, bytes_):
    shapes = {"w": (512, 768), "kernel": (3, 3, 64, 64), "head": (1024, 10), "bias": (4097,)}
    params = jax.tree.map(jnp.ones, shapes, is_leaf=lambda x: isinstance(x, tuple))
    tx = quantize_state(nablax.adamw(1e-3), bits)
    size = sum(x.size for x in jax.tree.leaves(params))
    assert nbytes(tx.init(params)) < bytes_ * size
    memory = nablax.describe(tx, params).memory
    rows = {row.what: row.total for row in memory.rows}
    assert sum(
        rows[f"quantize_state/{name}"] for name in ("count", "inner/count", "inner/mu", "inner/nu")
    ) == nbytes(tx.init(params))
    assert nbytes(nablax.adamw(1e-3).init(params)) > 8 * size


def has_codes(tree):
    return any(x.dtype in (jnp.uint8, jnp.uint16) for x in jax.tree.leaves(tree))


def runs(name, bits, steps=3):
    """Parameters after some steps, of float32 and of few bits, and the latter's state: one program."""

    def train(tx):
        def step(carry, _):
            params, state = carry
            g = jax.tree.map(lambda x: 2 * x + 0.1, params)
            g = jax.tree.map(lambda x: jnp.stack([x, x]), g) if name == "dpsgd" else g
            updates, state = tx.update(g, state, params, **extras(name, square_sum(params), square_sum))
            return (apply_updates(params, updates), state), None

        return jax.lax.scan(step, (START, tx.init(START)), None, length=steps)[0]

    tx = OPTIMIZERS[name](0.01)
    return jax.jit(lambda: (train(tx)[0], *train(quantize_state(tx, bits, min_size=2))))()


NO_MOMENTS = {
    "acprop", "adabelief", "dog", "dowg", "dpsgd", "fromage", "noisy_sgd", "polyak_sgd", "rprop", "sam",
    "schedule_free", "schedule_free_sgd", "sgd", "sign_sgd",
}  # fmt: skip
START = jnp.asarray(np.random.default_rng(0).normal(size=(24, 10)), jnp.float32)
FOUR_BITS = ("adamw", "lion", "momentum", "muon", "rmsprop")


@pytest.mark.parametrize(("name", "bits"), [*[(n, 8) for n in OPTIMIZERS], *[(n, 4) for n in FOUR_BITS]])
def test_every_optimizer_with_few_bits(name, bits):
    state = jax.eval_shape(quantize_state(OPTIMIZERS[name](0.01), bits, min_size=2).init, START)
    if not has_codes(state):
        assert name in NO_MOMENTS
        return
    plain, params, state = runs(name, bits)
    for x in jax.tree.leaves((params, state)):
        assert not jnp.issubdtype(x.dtype, jnp.floating) or np.isfinite(x).all()
    moved = float(jnp.abs(plain - START).max())
    assert float(jnp.abs(params - plain).mean()) <= {8: 0.1, 4: 0.4}[bits] * moved


def test_roles_decide():
    state = quantize_state(nablax.schedule_free_adamw(1e-3), min_size=1).init(PARAMS)
    found = {type(x).__name__ for x in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "form"))}
    assert "Quantized" in found
    for tx in (nablax.sm3(0.1), nablax.sgd(0.1)):
        before, after = tx.init(PARAMS), quantize_state(tx, min_size=10**6).init(PARAMS).inner_state
        equal(before, after)
    kept = quantize_state(nablax.adam(1e-3)).init({"w": jnp.ones(4095), "x": jnp.ones(4096)}).inner_state[0]
    assert isinstance(kept.mu["w"], jax.Array)
    assert kept.mu["x"].codes.shape == (4096,)
    ints = (
        quantize_state(nablax.adam(1e-3), min_size=1).init({"c": jnp.ones(8, jnp.complex64)}).inner_state[0]
    )
    assert ints.mu["c"].dtype == jnp.complex64


@pytest.mark.parametrize("bits", [8, 4])
def test_the_codes_of_the_two_moments_of_an_entry_are_in_one_integer(bits):
    few = functools.partial(quantize_state, bits=bits, block=128, min_size=64)
    w, b = jnp.ones((16, 32)), jnp.ones(3)
    for tx, owner in (
        (nablax.adam(0.1), lambda s: s.inner_state[0]),
        (nablax.chain(nablax.trace(0.9), nablax.scale_by_adam()), lambda s: s.inner_state[1]),
        (nablax.MultiSteps(nablax.adam(0.1), 2), lambda s: s.inner_state.inner_opt_state[0]),
        (nablax.partition({"w": nablax.adam(0.1), "b": nablax.sgd(0.1)}, {"w": "w", "b": "b"}),
         lambda s: s.inner_state.inner_states["w"].inner_state[0]),
    ):  # fmt: skip
        state = few(tx).init({"w": w, "b": b})
        mu, nu = owner(state).mu, owner(state).nu
        assert (mu["w"].codes.shape, nu["w"].codes, nu["w"].scales.shape) == ((16, 32), None, (4, 1))
        assert not blocks.is_quantized(mu["b"])
        _, state = few(tx).update({"w": w, "b": b}, state, {"w": w, "b": b})
        assert jax.tree.structure(few(tx).init({"w": w, "b": b})) == jax.tree.structure(state)
    names = Optimizer(few(nablax.adam(0.1)), {"w": w}).state_dict()["arrays"]
    kept = {name.split("/", 2)[2] for name in names if "inner/" in name}
    first, second = {8: ("power4", "power4"), 4: ("power2", "doubling")}[bits]
    assert kept == {"count", f"mu/w/codes_{first}_{second}_4x32", "mu/w/scales", f"nu/w/scales_{second}"}


class Rows(NamedTuple):
    mu: Any
    nu: Any


def scaled_by_rows(g, mu, nu):
    return g / nu[:, None], 0.9 * mu + g, nu + 1


def test_a_moment_without_a_fellow_of_its_shape_has_its_bytes_for_itself():
    few = functools.partial(quantize_state, bits=4, min_size=2)
    lion = few(nablax.lion(0.1)).init(jnp.ones((16, 32))).inner_state[0]
    assert lion.mu.codes.shape == (8, 32)
    # Novograd's second moment is one number a leaf, AMSGrad's third moment comes after the pair.
    novograd = few(nablax.novograd(0.1)).init(jnp.ones((16, 32))).inner_state[0]
    assert (novograd.mu.codes.shape, novograd.nu.shape) == ((8, 32), ())
    amsgrad = few(nablax.amsgrad(0.1)).init(jnp.ones((16, 32))).inner_state[0]
    found = [x.codes if x.codes is None else x.codes.shape for x in (amsgrad.mu, amsgrad.nu, amsgrad.nu_max)]
    assert found == [(16, 32), None, (8, 32)]
    rows = dataclasses.replace(
        second_moment(), make=lambda params: jax.tree.map(lambda p: jnp.ones(p.shape[0]), params)
    )
    by_rows = leafwise(scaled_by_rows, fields(Rows, mu=first_moment(), nu=rows))
    params = {"w": jnp.ones((16, 32))}
    _, state = few(by_rows).update(params, few(by_rows).init(params))
    assert state.inner_state.mu["w"].codes.shape == (8, 32)
    assert state.inner_state.nu["w"].codes.shape == (8,)


def test_masks_groups_chains_and_accumulation():
    params = {"w": jnp.ones((16, 32)), "b": jnp.ones(3), "none": None}
    small = functools.partial(quantize_state, min_size=64)
    decay = {"w": True, "b": False, "none": None}
    for tx in (
        small(nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(1e-2, mask=decay))),
        nablax.chain(
            nablax.clip_by_global_norm(1.0), small(nablax.scale_by_adam()), nablax.scale_by_learning_rate(0.1)
        ),
        nablax.partition_by_path({"w": small(nablax.adamw(1e-2))}, default=nablax.sgd(0.1)),
        small(nablax.MultiSteps(nablax.adam(1e-2), 2)),
        nablax.dynamic_loss_scale(small(nablax.adam(1e-2)), 1.0),
    ):
        opt = Optimizer(tx, params)
        assert has_codes(opt.state)
        for k in range(3):
            new = opt.step(gradient(params, k))
        assert opt.compilations == 1
        assert 0 < float(jnp.abs(new["w"] - 1).max()) < 0.5


def test_narrow_parameters():
    params = {"w": jnp.full((16, 16), 0.7, jnp.bfloat16)}
    adam = nablax.adamw(1e-3)
    small = functools.partial(quantize_state, min_size=2)
    exact = Optimizer(nablax.precision(adam), params)
    kinds = [
        small(nablax.precision(adam)),
        nablax.precision(small(adam), "remainder"),
        nablax.precision(small(adam), state_dtype=jnp.bfloat16),
    ]
    opts = [Optimizer(tx, params) for tx in kinds]
    for k in range(8):
        g = gradient(exact.params, k)
        exact.step(g)
        for opt in opts:
            opt.step(g)
    for opt in opts:
        assert opt.params["w"].dtype == jnp.bfloat16
        off = jnp.abs(opt.params["w"].astype(jnp.float32) - exact.params["w"].astype(jnp.float32)).max()
        assert float(off) < 0.01
        scales = [x for x in jax.tree.leaves(opt.state) if x.shape == (1, 1)]
        assert {x.dtype.name for x in scales} == {"float32"}
    updates, _ = small(adam).update(params, small(adam).init(params), params)
    assert updates["w"].dtype == adam.update(params, adam.init(params), params)[0]["w"].dtype


def test_a_restart_resumes_bit_for_bit(tmp_path):
    tx = quantize_state(nablax.adamw(1e-2), stochastic=True, min_size=2, seed=5)
    opt, other = Optimizer(tx, PARAMS), Optimizer(tx, PARAMS)
    for k in range(3):
        opt.step(gradient(opt.params, k))
    opt.save(tmp_path / "x")
    names = list(opt.state_dict()["arrays"])
    assert "quantize_state/inner/mu/w/codes_power4_power4_24x10" in names
    assert "quantize_state/inner/nu/odd/scales_power4" in names
    other.load(tmp_path / "x")
    for k in range(3):
        equal(opt.step(gradient(opt.params, k)), other.step(gradient(other.params, k)))
    equal(opt.state, other.state)
    template = jax.eval_shape(lambda: opt.state)
    nablax.save(tmp_path / "y", opt.state)
    equal(nablax.load(tmp_path / "y", like=template), opt.state)
    wide = Optimizer(nablax.adamw(1e-2), PARAMS)
    with pytest.raises(nablax.StructureError, match="missing"):
        wide.load(tmp_path / "x")
    told = opt.state_dict()  # as another map's would be
    told["arrays"] = {k.replace("power4", "dynamic"): x for k, x in told["arrays"].items()}
    with pytest.raises(nablax.StructureError, match="codes_power4_power4"):
        other.load_state_dict(told)
    blocks_of_others = Optimizer(quantize_state(nablax.adamw(1e-2), block=128, min_size=2), PARAMS)
    with pytest.raises(nablax.StructureError, match="codes_power4_power4_12x10"):
        blocks_of_others.load(tmp_path / "x")


def test_random_codes_hang_on_step_and_leaf_and_seed():
    params = {"a": jnp.ones(256), "b": jnp.ones(256)}
    g = {"a": jnp.linspace(0.1, 1, 256), "b": jnp.linspace(0.1, 1, 256)}

    def codes(seed):
        tx = quantize_state(nablax.sgd(0.0, momentum=1e-6), stochastic=True, min_size=2, seed=seed)
        _, first = tx.update(g, tx.init(params), params)
        _, second = tx.update(g, first, params)
        at = [s.inner_state[0].trace for s in (first, second)]
        return [np.asarray(x[k].codes) for x in at for k in ("a", "b")]

    found = [*codes(0), *codes(1)[:1]]
    for i, x in enumerate(found):
        assert np.abs(np.int32(x) - np.int32(found[0])).max() <= 1
        for y in found[:i]:
            assert 0.05 < (x != y).mean() < 0.6
    equal(codes(0), codes(0))


def test_an_average_in_4_bits_moves_though_its_codes_lie_further_apart_than_it_does_in_a_step():
    def left(stochastic):
        """What 20 steps without a gradient leave of a momentum of 1, beside an entry that keeps the block's scale."""
        params = jnp.zeros((128, 512))
        tx = quantize_state(nablax.sgd(1.0, momentum=0.9), 4, stochastic=stochastic)

        def step(state, g):
            return tx.update(g, state, params)[1], None

        last = jnp.zeros((20, *params.shape)).at[:, :, ::64].set(1.0)
        g = jnp.concatenate([jnp.ones((1, *params.shape)).at[:, :, ::64].set(9.0), last])
        trace = jax.jit(lambda: jax.lax.scan(step, tx.init(params), g)[0])().inner_state[0].trace
        return float(decode(trace).reshape(128, 8, 64)[..., 1:].mean()) / 0.9**20

    assert 0.95 < left(None) < 1.05
    assert left(False) > 2


def test_numbers_are_live_and_calls_are_values():
    opt = Optimizer(quantize_state(nablax.adam(0.1), min_size=2), jnp.ones(64))
    opt.step(jnp.ones(64))
    before = np.asarray(opt.params)
    opt.hyperparameters["learning_rate"] = 0.0
    np.testing.assert_array_equal(opt.step(jnp.ones(64)), before)
    assert opt.compilations == 1
    tx = quantize_state(nablax.adam(0.1), 4, block=64)
    assert repr(tx) == "quantize_state(adam(0.1), bits=4, block=64)"
    assert tx.replace(bits=8) == quantize_state(nablax.adam(0.1), block=64)


def test_a_batch_of_states():
    tx = quantize_state(nablax.adam(0.1), min_size=2)
    many = jnp.stack([jnp.linspace(-1, k, 64) for k in range(1, 4)])
    state = jax.vmap(tx.init)(many)
    updates, state = jax.vmap(tx.update)(many, state)
    for k in range(3):
        one, alone = tx.update(many[k], tx.init(many[k]))
        np.testing.assert_allclose(updates[k], one, rtol=1e-5)
        equal(jax.tree.map(lambda x, k=k: x[k], state), alone)


def test_eager_and_compiled_steps_agree():
    tx = quantize_state(nablax.adamw(1e-2), min_size=2)
    state = tx.init(PARAMS)
    for eager, compiled in zip(
        jax.tree.leaves(tx.update(gradient(PARAMS), state, PARAMS)),
        jax.tree.leaves(jax.jit(tx.update)(gradient(PARAMS), state, PARAMS)),
        strict=True,
    ):
        # Each of two codes may be the next one where two are equally near.
        if eager.dtype == jnp.uint16:
            eager, compiled = (np.int32(np.asarray(x).view(np.uint8)) for x in (eager, compiled))
            assert np.abs(eager - compiled).max() <= 1
        else:
            np.testing.assert_allclose(np.float32(eager), np.float32(compiled), 1e-5, 1e-9)


def test_a_training_step_and_flat_parameters():
    def loss(p, x):
        return jnp.mean((jnp.tanh(x @ p["w"]) @ p["v"]) ** 2)

    def params():
        return {"w": jnp.full((8, 16), 0.1), "v": jnp.full((16, 2), 0.3)}

    tx = quantize_state(nablax.adam(1e-2), min_size=100)
    step = nablax.train_step(loss, tx)
    for start in (params(), nablax.flat_params(params())):
        p, s, losses = start, step.init(start), []
        for _ in range(5):
            p, s, metrics = step(p, s, jnp.ones((4, 8)))
            losses.append(float(metrics["loss"]))
        assert losses == sorted(losses, reverse=True)
    packed = Optimizer(tx, params(), packed=True)
    packed.step(params())
    assert has_codes(packed.state)


def test_a_classifier_of_digits_learns_as_with_float32():
    sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
    try:
        from quantized_losses import STATES, mlp, train
    finally:
        sys.path.pop(0)
    names = ("float32", "8 bits", "4 bits")
    found = {name: train(mlp(), STATES[name], steps=100, seeds=3)[1] for name in names}
    assert float(found["float32"].mean()) < 0.6  # from 2.3
    assert abs(float(found["8 bits"].mean() / found["float32"].mean()) - 1) < 0.01
    assert (
        abs(float(found["4 bits"].mean() / found["float32"].mean()) - 1) < 0.015
    )  # with the nearest codes 0.9


# -- the host's memory ------------------------------------------------------------------------------------------------


def test_an_offloaded_state_steps_saves_and_resumes_as_any(tmp_path):
    tx = nablax.adamw(1e-2)
    plain = Optimizer(tx, PARAMS)
    opt, other = (Optimizer(nablax.offload_state(tx), PARAMS, skip_nonfinite=True) for _ in range(2))
    for k in range(3):
        close(plain.step(gradient(plain.params, k)), opt.step(gradient(opt.params, k)))
    close(plain.state, opt.state)
    opt.save(tmp_path / "x")
    other.load(tmp_path / "x")
    equal(other.step(PARAMS), opt.step(PARAMS))
    for owner in (opt, other):
        for x in jax.tree.leaves(owner.state):
            assert x.sharding.memory_kind == ("pinned_host" if x.ndim else "device")
        assert owner.compilations <= 1


def test_an_offloaded_state_scans():
    tx = nablax.offload_state(quantize_state(nablax.adam(1e-2), min_size=2))

    def body(carry, _):
        p, s = carry
        updates, s = tx.update(gradient(p), s, p)
        return (apply_updates(p, updates), s), None

    _, state = jax.jit(lambda p: jax.lax.scan(body, (p, tx.init(p)), None, length=3)[0])(PARAMS)
    kinds = {x.sharding.memory_kind for x in jax.tree.leaves(state) if x.ndim}
    assert kinds == {"pinned_host"}


def test_a_backend_without_such_memory_is_named():
    check_host_memory("offload_state", "gpu", ["device", "pinned_host"])
    with pytest.raises(
        nablax.ArgumentError, match="backend 'rocket' has not; it has 'device', 'unpinned_host'"
    ):
        check_host_memory("offload_state", "rocket", ["unpinned_host", "device"])
    with pytest.raises(nablax.ArgumentError, match="it has no kinds of memory"):
        check_host_memory("offload_state", "rocket", [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: quantize_state(3), "quantize_state: inner must be a gradient transformation"),
        (lambda: quantize_state(nablax.adam(0.1), 5), "quantize_state: bits must be 8 or 4, got int: 5"),
        (lambda: quantize_state(nablax.adam(0.1), block=1), "block must be an integer >= 2 or None"),
        (lambda: quantize_state(nablax.adam(0.1), min_size=0), "min_size must be an integer >= 1"),
        (lambda: quantize_state(nablax.adam(0.1), seed=-1), "seed"),
        (lambda: nablax.offload_state("adam"), "offload_state: inner must be a gradient transformation"),
    ],
)
def test_what_is_wrong_is_named(make, message):
    with pytest.raises((nablax.ArgumentError, nablax.HyperparameterError), match=message):
        make()
