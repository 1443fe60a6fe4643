"""Names that Optax serves through `__getattr__`, `__all__`, and the warnings that its own tests expect."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.losses
import nablax.optax
import nablax.optimizers
from nablax.optax import _deprecated, contrib, losses, tree_utils

TREE = {"a": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array([4.0, -5.0])}


@pytest.mark.parametrize("name", sorted(optax._deprecations))
def test_top_level(name):
    if name == "monte_carlo":
        with pytest.raises(AttributeError, match="monte_carlo"):
            _ = nablax.optax.monte_carlo
        return
    with pytest.warns(DeprecationWarning, match=name):
        assert getattr(nablax.optax, name) is getattr(contrib, name)


@pytest.mark.parametrize("name", sorted(optax.tree_utils._deprecations))
def test_tree_utils(name):
    with pytest.warns(DeprecationWarning, match=name):
        mine = getattr(tree_utils, name)
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        theirs = getattr(optax.tree_utils, name)
    arguments = {"tree_scalar_mul": (2.0, TREE), "tree_add_scalar_mul": (TREE, 2.0, TREE)}.get(name, (TREE,))
    found, expected = (jax.tree.leaves(f(*arguments)) for f in (mine, theirs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_unknown_names():
    for module in (nablax.optax, tree_utils):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'adamm'"):
            _ = module.adamm


@pytest.mark.parametrize("module", ["", "transforms", "experimental"])
def test_all(module):
    mine, theirs = (getattr(o, module) if module else o for o in (nablax.optax, optax))
    assert sorted(mine.__all__) == sorted(set(theirs.__all__))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert all(hasattr(mine, n) for n in mine.__all__)


def test_functions_that_warn_when_called():
    with pytest.warns(DeprecationWarning, match="use generalized_kl_divergence"):
        value = losses.convex_kl_divergence(jnp.array([-1.0, 0.0]), jnp.array([0.5, 0.5]))
    assert value == nablax.losses.generalized_kl_divergence(jnp.array([-1.0, 0.0]), jnp.array([0.5, 0.5]))
    assert nablax.optax.convex_kl_divergence is losses.convex_kl_divergence
    with pytest.warns(DeprecationWarning, match="use `optimistic_adam_v2` instead") as record:
        nablax.optax.optimistic_adam(0.1)
    assert record[0].filename == __file__
    assert inspect.signature(nablax.optax.optimistic_adam) == inspect.signature(
        nablax.optimizers.optimistic_adam
    )
    nablax.optimizers.optimistic_adam(0.1)  # a warning would be an error


def test_helper_of_functions():
    f = _deprecated.warn_deprecated_function(lambda x: x + 1, replacement="g", version_removed="0.3")
    with pytest.warns(DeprecationWarning, match="use g instead; it is removed in version 0.3"):
        assert f(1) == 2
