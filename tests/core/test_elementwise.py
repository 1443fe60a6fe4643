"""Which transformations treat every entry alike: what the proof says, and that joining leaves bears it out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from catalogue import OPTIMIZERS
from nablax.core import Refused, check_elementwise

ALIKE = [
    "acprop", "adabelief", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan", "ademamix", "adopt",
    "amsgrad", "lion", "madgrad", "momentum", "nadam", "nadamw", "nesterov", "optimistic_gradient_descent", "radam",
    "rmsprop", "rprop", "sgd", "sign_sgd", "signum", "simplified_ademamix", "tiger", "yogi",
]  # fmt: skip
NOT = ["adafactor", "fromage", "galore", "lamb", "lars", "muon", "noisy_sgd", "novograd", "sm3"]


def refused(tx):
    try:
        check_elementwise(tx)
    except Refused as e:
        return str(e)
    return ""


@pytest.mark.parametrize("name", ALIKE)
def test_entries_are_treated_alike(name):
    assert refused(OPTIMIZERS[name](1e-2)) == ""


@pytest.mark.parametrize("name", NOT)
def test_shapes_and_places_matter(name):
    assert refused(OPTIMIZERS[name](1e-2)) != ""


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_what_is_said_to_be_alike_may_be_joined(name):
    tx = OPTIMIZERS[name](1e-2)
    if refused(tx):
        return
    params = [jnp.array([[0.3, -0.2], [0.9, 1.4]]), jnp.array([0.5, -1.5, 0.1]), jnp.float32(0.7)]

    def flat(tree):
        return jnp.concatenate([x.reshape(-1) for x in tree])

    apart, joined = tx.init(params), tx.init(flat(params))
    p, q = params, flat(params)
    for k in range(3):
        grads = jax.tree.map(lambda x: jnp.sin(3 * x + k), p)  # noqa: B023
        updates, apart = tx.update(grads, apart, p)
        together, joined = tx.update(jnp.sin(3 * q + k), joined, q)
        np.testing.assert_allclose(flat(updates), together, rtol=2e-6, atol=1e-8)
        p, q = nablax.apply_updates(p, updates), nablax.apply_updates(q, together)


def by_ndim(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


def fan_in(updates, params=None):
    return jax.tree.map(lambda g: g / g.shape[0], updates)


def norm_of_each(updates, params=None):
    return jax.tree.map(lambda g: g / jnp.sqrt(jnp.sum(g**2)), updates)


def largest_norm(updates, params=None):
    norms = [jnp.sqrt(jnp.sum(g**2)) for g in jax.tree.leaves(updates)]
    return jax.tree.map(lambda g: g / jnp.max(jnp.stack(norms)), updates)


def largest_entry(updates, params=None):
    peak = jnp.maximum(*[jnp.max(jnp.abs(g)) for g in jax.tree.leaves(updates)])
    return jax.tree.map(lambda g: g / peak, updates)


def by_place(updates, params=None):
    a, b = jax.tree.leaves(updates)
    return [a, 2 * b]


def turned(updates, params=None):
    return jax.tree.map(lambda g: g[::-1], updates)


def first_leaf_for_all(updates, params=None):
    scale = jnp.sum(jax.tree.leaves(updates)[0])
    return jax.tree.map(lambda g: g * scale, updates)


@pytest.mark.parametrize("fn", [fan_in, norm_of_each, largest_norm, by_place, turned, first_leaf_for_all])
def test_refused(fn):
    assert refused(nablax.stateless(fn)) != ""


def test_maximum_over_all_entries_is_alike():
    assert refused(nablax.stateless(largest_entry)) == ""


@pytest.mark.parametrize(
    ("tx", "word"),
    [
        (nablax.adamw(1e-3, mask=by_ndim), "masks"),
        (nablax.chain(nablax.centralize(), nablax.sgd(0.1)), "where an entry stands"),
        (nablax.adaptive_grad_clip(0.1), ""),
        (nablax.clip_by_block_rms(1.0), ""),
        (nablax.polyak_sgd(), "value"),
    ],
)
def test_reasons(tx, word):
    assert refused(tx) != ""
    assert word in refused(tx)


def test_sums_over_all_leaves_are_alike():
    assert refused(nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(1e-3))) == ""
    assert refused(nablax.chain(nablax.clip(1.0), nablax.add_decayed_weights(0.1), nablax.lion(1e-3))) == ""
