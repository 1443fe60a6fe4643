"""Whether JAX is tracing: JAX's own variable says what the public function says, in every kind of trace and thread."""

import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import find_top_trace

from nablax.core import _tracing, under_jit, under_trace

WAYS = {
    "nothing": (lambda f: f(), False, False),
    "jit": (lambda f: jax.jit(lambda x: (f(), x)[1])(1.0), True, True),
    "scan": (lambda f: jax.lax.scan(lambda c, _: (f(), (c, None))[1], 0.0, length=2), True, True),
    "grad": (lambda f: jax.grad(lambda x: (f(), x * x)[1])(1.0), True, False),
    "vmap": (lambda f: jax.vmap(lambda x: (f(), x)[1])(jnp.ones(2)), True, False),
    "jit of grad": (lambda f: jax.jit(jax.grad(lambda x: (f(), x * x)[1]))(1.0), True, False),
    "eval_shape": (lambda f: jax.eval_shape(lambda x: (f(), x)[1], 1.0), True, True),
}


@pytest.mark.parametrize("reader", [_tracing.trace_now, _tracing._Asked()], ids=["variable", "asked"])
@pytest.mark.parametrize("way", WAYS)
def test_the_trace_of_the_moment(way, reader, monkeypatch):
    monkeypatch.setattr(_tracing, "trace_now", reader)
    around, traced, compiled = WAYS[way]
    seen = []
    around(lambda: seen.append((under_trace(), under_jit(), reader.value is find_top_trace(()))))
    assert seen
    assert set(seen) == {(traced, compiled, True)}
    assert not under_trace()


def test_another_thread_traces_nothing():
    seen = []

    @jax.jit
    def f(x):
        thread = threading.Thread(target=lambda: seen.append(under_trace()))
        thread.start()
        thread.join()
        seen.append(under_trace())
        return x

    f(1.0)
    assert seen == [False, True]


def test_imported_while_jax_traces():
    """As in a function that imports what it needs."""
    code = (
        "import jax\n"
        "def f(x):\n"
        "    import nablax.core as core\n"
        "    return x * core.under_trace()\n"
        "import sys; print(float(jax.jit(f)(1.0)), sys.modules['nablax.core'].under_trace())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "False"]
