"""Arrays that cross the border of a program together."""

import jax
import jax.numpy as jnp
import numpy as np

from nablax import autograd
from nablax.autograd._program._pack import pack, unpack


def test_arrays_of_one_kind_travel_as_one_and_come_back_in_order():
    arrays = [jnp.full((2, 3), float(i)) for i in range(6)] + [
        jnp.arange(3),
        jnp.ones(()),
        jnp.zeros((2, 3), jnp.bool_),
    ]
    arrays.insert(2, jnp.ones((300, 300)))
    crossing = []

    def there(*arrays):
        packed, plan = pack(arrays)
        crossing.append(plan)
        return packed

    packed = jax.jit(there)(*arrays)
    assert len(packed) == 5
    back = unpack(packed, crossing[0])
    for a, b in zip(arrays, back, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert unpack(*pack([])) == []


def test_a_loop_in_two_segments_hands_over_few_arrays():
    w = autograd.tensor(np.eye(4, dtype=np.float32) * 0.5 + 0.1, requires_grad=True)
    x = autograd.tensor(np.ones((4, 4), np.float32))

    def loss(w):
        h = x
        for _ in range(40):
            h = (h @ w).tanh()
        return (h * h).sum()

    with autograd.max_segment(48), autograd.tiers("compiled"):
        for _ in range(3):
            w.grad = None
            y = loss(w)
            y.item()
            handed, node = [], y._n
            while node is not None:
                handed.append(len(node.residual[1]))
                node = next((link[0] for link in node.links if isinstance(link, tuple)), None)
            y.backward()
    assert len(handed) >= 2
    assert max(handed) < 10  # each of its twenty turns leaves a residual
    want = jax.grad(autograd.functional(loss))(w.value)
    np.testing.assert_allclose(w.grad.numpy(), want, rtol=1e-5)
