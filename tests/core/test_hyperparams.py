"""Hyperparameters found and replaced by path, through chains and wrappers."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax.core import chain, current_values, hyperparams, named_chain, resolve, with_hyperparams
from nablax.optimizers import adam, adamw, sgd
from nablax.transforms import clip, masked, scale_by_schedule


def test_paths_follow_the_chain():
    tx = chain(clip(1.0), adamw(0.1), masked(sgd(0.2), True), optax.scale(2.0))
    assert hyperparams(tx) == {
        "clip/max_delta": 1.0,
        "adamw/learning_rate": 0.1,
        "adamw/b1": 0.9,
        "adamw/b2": 0.999,
        "adamw/eps": 1e-8,
        "adamw/eps_root": 0.0,
        "adamw/weight_decay": 1e-4,
        "masked/inner/learning_rate": 0.2,
    }


def test_a_part_that_comes_twice_is_numbered():
    assert list(hyperparams(chain(clip(1.0), clip(2.0)))) == ["clip/max_delta", "clip_1/max_delta"]
    assert list(hyperparams(named_chain(("a", clip(1.0)), ("b", clip(2.0))))) == [
        "a/max_delta",
        "b/max_delta",
    ]


def test_replacing_changes_the_update_and_keeps_the_state():
    tx = chain(clip(1.0), adam(lambda count: 0.1))
    params = jnp.ones(2)
    state = tx.init(params)
    path = "adam/learning_rate"
    u, after = with_hyperparams(tx, {path: 0.5}).update(params, state)
    np.testing.assert_allclose(u, -0.5, rtol=1e-5)
    assert int(after[1][1].count) == 1
    with pytest.raises(KeyError, match="no hyperparameter 'adam/lr'; there are clip/max_delta"):
        with_hyperparams(tx, {"adam/lr": 0.5})


def test_short_names():
    paths = ["clip/max_delta", "adam/b1", "adam/learning_rate", "sgd/learning_rate"]
    assert resolve("b1", paths) == ["adam/b1"]
    assert resolve("sgd/learning_rate", paths) == ["sgd/learning_rate"]
    assert resolve("clip/max_delta", paths) == ["clip/max_delta"]
    assert resolve("*/learning_rate", paths) == ["adam/learning_rate", "sgd/learning_rate"]
    with pytest.raises(
        KeyError, match="ambiguous: adam/learning_rate, sgd/learning_rate.*'[*]/learning_rate' sets all"
    ):
        resolve("learning_rate", paths)
    with pytest.raises(KeyError, match="is none of"):
        resolve("momentum", paths)
    with pytest.raises(KeyError, match="is none of"):
        resolve("*/momentum", paths)


def test_current_values_evaluate_schedules_at_their_counts():
    tx = masked(chain(scale_by_schedule(lambda count: count + 1.0)), True)
    state = tx.init(jnp.ones(1))
    for _ in range(3):
        _, state = tx.update(jnp.ones(1), state)
    assert [float(v) for v in current_values(tx, state).values()] == [4.0]
