"""First states come without a program: XLA would compile one for each shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring

import nablax
from catalogue import OPTIMIZERS
from nablax.core import copied, filled_like


@pytest.fixture
def compiled():
    """The programs that JAX compiled since the test began, by the event's name."""
    found = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            found.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    yield found
    monitoring.unregister_event_duration_listener(listen)


NAMES = ["adam", "adamw", "sgd", "momentum", "lion", "adafactor", "sm3", "rmsprop", "novograd"]


@pytest.mark.parametrize(("name", "size"), list(zip(NAMES, range(211, 220), strict=True)))
def test_a_first_state_compiles_nothing(name, size, compiled):
    tx = OPTIMIZERS[name](0.1)
    params = {
        "w": np.ones((3, size), np.float32),
        "h": np.ones(size, jnp.bfloat16),
    }  # nobody else has this size
    nablax.Optimizer(tx, jax.device_put(params))
    nablax.Optimizer(tx, params)
    assert compiled == []
    jnp.full(size + 100, 2.0)  # the listener hears what is compiled
    assert compiled


def test_a_copy_has_a_buffer_of_its_own_and_the_same_layout():
    x = jnp.arange(6.0)
    y = copied(x)
    assert y.unsafe_buffer_pointer() != x.unsafe_buffer_pointer()
    assert (y.committed, y.sharding, y.weak_type) == (x.committed, x.sharding, x.weak_type)
    placed = jax.device_put(x, jax.devices()[0])
    assert copied(placed).committed
    assert copied(x, jnp.bfloat16).dtype == jnp.bfloat16
    key = jax.random.key(3)
    assert jnp.array_equal(jax.random.key_data(copied(key)), jax.random.key_data(key))
    jax.jit(lambda a: a + 1, donate_argnums=0)(y)
    np.testing.assert_array_equal(x, np.arange(6.0))


def test_on_a_mesh_first_states_have_the_types_that_jax_gives_them():
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        params = {"w": jax.device_put(np.ones((3, 4)), jax.sharding.PartitionSpec("x", None))}
        tx = nablax.chain(nablax.add_noise(0.1, 0.5, 0), nablax.adamw(0.1))
        state = tx.init(params)
        after = jax.jit(tx.update)(params, state, params)[1]
        assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, after)
        assert jax.typeof(filled_like(params["w"], 0.5)) == jax.typeof(params["w"])


def test_filled_like_is_full_like():
    cases = [np.ones((2, 3)), jnp.ones((2, 3), jnp.bfloat16), jnp.ones((), jnp.int32), jnp.ones((0, 2)), 1.0]
    for p in cases:
        for dtype in (None, jnp.float32, jnp.int8):
            got = filled_like(p, 2, dtype)
            want = jnp.full_like(p, 2, dtype=dtype)
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            np.testing.assert_array_equal(np.asarray(got, float), np.asarray(want, float))
    assert filled_like(1.0, 2).weak_type
    assert filled_like(jnp.asarray(1.0), 2).weak_type
    assert filled_like(np.ones((2, 3, 4)), 0.5, without=(1,)).shape == (2, 4)
    traced = jax.jit(lambda p: filled_like(p, 0.5, without=(0, 2)))(jnp.ones((2, 3, 4)))
    np.testing.assert_array_equal(traced, np.full(3, 0.5))
    assert filled_like(np.ones(2), jnp.float32(0.5)).tolist() == [0.5, 0.5]
