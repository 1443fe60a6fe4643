"""Tiger against its equations in plain floats."""

import jax.numpy as jnp
import numpy as np

from nablax import optimizers as o


def test_steps_are_those_of_the_equations():
    lr, beta, decay, p = 0.5, 0.75, 0.25, -2.0
    # A gradient of 2 does not turn a momentum of -1, one of 4 does: 3/4 - 2/4 < 0 < 4/4 - 3/16, while a sign of the
    # gradient, of the old momentum, of one with beta and 1 - beta swapped, or a sum, turns at another step.
    gradients, signs = [-4.0, 2.0, 4.0, -2.0], [-1.0, -1.0, 1.0, 1.0]
    tx, m = o.tiger(lr, beta, decay), 0.0
    params = jnp.asarray(p)
    state = tx.init(params)
    for g, sign in zip(gradients, signs, strict=True):
        m = beta * m + (1 - beta) * g
        assert np.sign(m) == sign
        update, state = tx.update(jnp.asarray(g), state, params)
        np.testing.assert_allclose(update, -lr * (sign + decay * p), rtol=1e-6)
        np.testing.assert_allclose(state[0].mu, m, rtol=1e-6)
        params, p = params + update, p - lr * (sign + decay * p)
    np.testing.assert_allclose(params, p, rtol=1e-6)


def test_it_is_signum_with_decoupled_decay_and_lion_with_one_decay():
    params = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]])}
    chosen = {"tiger": o.tiger(0.1, 0.8, 0.2), "lion": o.lion(0.1, 0.8, 0.8, weight_decay=0.2)}
    bare = {"tiger": o.tiger(0.1, 0.8, 0.0), "signum": o.signum(0.1, 0.8)}
    for pair in (chosen, bare):
        states = {name: tx.init(params) for name, tx in pair.items()}
        for t in range(5):
            g = {"w": jnp.cos(t + 3 * params["w"])}
            updates = {}
            for name, tx in pair.items():
                updates[name], states[name] = tx.update(g, states[name], params)
            first, second = updates.values()
            np.testing.assert_allclose(first["w"], second["w"], rtol=1e-6)


def test_the_defaults_are_the_authors_and_a_mask_spares_leaves():
    params = {"w": jnp.asarray(10.0), "b": jnp.asarray(10.0)}
    tx = o.tiger(1.0, mask={"w": True, "b": False}, mu_dtype=jnp.float32)
    updates, state = tx.update({"w": jnp.asarray(2.0), "b": jnp.asarray(-2.0)}, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], -1.1, rtol=1e-6)
    np.testing.assert_allclose(updates["b"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(state[0].mu["w"], 0.07, rtol=1e-5)
