"""What the compiled step of an optimizer does not do: copy, or move more bytes than Optax's."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

import nablax

SHAPE = "256,128"
PAIRS = {
    "clip and adamw": lambda lib: lib.chain(lib.clip_by_global_norm(1.0), lib.adamw(1e-3)),
    "lion": lambda lib: lib.lion(1e-3),
    "adafactor": lambda lib: lib.adafactor(1e-3),
    "muon": lambda lib: (lib.contrib if lib is optax else lib).muon(1e-3),
}


def _tree():
    return {f"layer{i}": {"w": jnp.ones((256, 128)), "b": jnp.ones((128,))} for i in range(3)}


def _of_optax(tx):
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = _tree()
    return jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params).compile()


@pytest.mark.parametrize("name", PAIRS)
def test_a_step_copies_no_leaf_and_moves_no_more_bytes_than_optax(name):
    ours = nablax.Optimizer(PAIRS[name](nablax), _tree()).lower(_tree()).compile()
    text = ours.as_text()
    passes = text[text.index("\nENTRY") :]
    copies = [line for line in passes.splitlines() if re.search(rf"= f32\[{SHAPE}\]\S* copy\(", line)]
    assert copies == []
    theirs = _of_optax(PAIRS[name](optax))
    assert ours.cost_analysis()["bytes accessed"] <= 1.001 * theirs.cost_analysis()["bytes accessed"]
