"""Derivatives of derivatives in the first tier: also where the way back is JAX's, and not written by rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.autograd as ag

X = np.array([[2.0, 0.3, 0.1], [0.2, 1.5, 0.4], [0.5, 0.1, 1.8]])

# name -> the function on tensors, and on JAX's arrays.
CASES = {
    "slogdet": (lambda x: ag.linalg.slogdet(x)[1], lambda x: jnp.linalg.slogdet(x)[1]),
    "logdet": (lambda x: x.logdet(), lambda x: jnp.linalg.slogdet(x)[1]),
    "det": (lambda x: x.det(), jnp.linalg.det),
    "pinv": (lambda x: ag.linalg.pinv(x)[0].sum(), lambda x: jnp.linalg.pinv(x)[0].sum()),
    "inv": (lambda x: ag.linalg.inv(x)[0].sum(), lambda x: jnp.linalg.inv(x)[0].sum()),
    "solve": (lambda x: ag.linalg.solve(x, x[0])[0], lambda x: jnp.linalg.solve(x, x[0])[0]),
    "cholesky": (lambda x: ag.linalg.cholesky(x @ x.T)[2].sum(), lambda x: jnp.linalg.cholesky(x @ x.T)[2].sum()),
    "eigvalsh": (lambda x: ag.linalg.eigvalsh(x + x.T)[0], lambda x: jnp.linalg.eigvalsh(x + x.T)[0]),
    "qr": (lambda x: ag.linalg.qr(x)[1][0].sum(), lambda x: jnp.linalg.qr(x)[1][0].sum()),
    "logsumexp": (lambda x: x.logsumexp(1).prod(), lambda x: jax.nn.logsumexp(x, 1).prod()),
    "log_softmax": (lambda x: x.log_softmax(1)[:, 0].prod(), lambda x: jax.nn.log_softmax(x, 1)[:, 0].prod()),
    "lgamma": (lambda x: x.lgamma().sum(), lambda x: jax.lax.lgamma(x).sum()),
    "cumprod": (lambda x: x.cumprod(1).sum(), lambda x: jnp.cumprod(x, 1).sum()),
    "scan": (lambda x: ag.lax.scan(lambda c, r: (c * r.sum() + r[0], None), x[0, 0], x)[0],
             lambda x: jax.lax.scan(lambda c, r: (c * r.sum() + r[0], None), x[0, 0], x)[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_second_and_third_derivatives_are_those_of_jax(name):
    ours, theirs = CASES[name]

    def first(x):
        return (jax.grad(theirs)(x) ** 2).sum()

    def second(x):
        return (jax.grad(first)(x) ** 2).sum()

    with jax.enable_x64(True), ag.tiers("interpreted"):
        x = ag.tensor(X, requires_grad=True)
        (g,) = ag.grad(ours(x), [x], create_graph=True)
        (h,) = ag.grad((g**2).sum(), [x], create_graph=True)
        (k,) = ag.grad((h**2).sum(), [x])
        for found, fn in ((g, theirs), (h, first), (k, second)):
            np.testing.assert_allclose(found.value, jax.jit(jax.grad(fn))(X), rtol=1e-8, atol=1e-9)
