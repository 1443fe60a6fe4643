"""Settings of JAX and modes of ours: they hold at the line of an operation, in its thread, and nowhere else."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import AnomalyError, Parameter, detect_anomaly, no_grad, tensor

BAD = {"log": -1.0, "subtract": np.inf, "divide": 0.0, "lifted": -1.0, "number": np.inf}
LOG = autograd.lift(jnp.log)
OPERATIONS = {
    "log": lambda x: x.log(), "subtract": lambda x: x - x, "divide": lambda x: x / x, "lifted": lambda x: LOG(x),
    "number": lambda x: x * 0.5 * 0,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_anomalies_are_found_in_every_turn_of_a_loop(name):
    found = []
    with detect_anomaly():
        for value in (1.0, 2.0, 3.0, BAD[name]):
            try:
                OPERATIONS[name](tensor(value))
            except AnomalyError:
                found.append(value)
    assert found == [BAD[name]]


def test_the_probe_leaves_with_its_context():
    x = tensor(-1.0)
    with detect_anomaly():
        pass
    assert np.isnan(x.log().item())
    cuts = autograd.cache_info().cuts
    with detect_anomaly():
        (x * 2 + 1).exp()
    assert autograd.cache_info().cuts == cuts


def test_no_grad_as_decorator_in_two_threads():
    inside, leave = threading.Event(), threading.Event()
    seen = {}

    @no_grad()
    def f(do):
        do()
        return autograd.is_grad_enabled()

    def other():
        with autograd.no_grad():
            seen["inside"] = f(lambda: inside.set() or leave.wait(10))
            seen["after"] = autograd.is_grad_enabled()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    assert not f(lambda: leave.set() or thread.join())
    assert autograd.is_grad_enabled()
    assert seen == {"inside": False, "after": False}


def test_one_context_in_two_threads():
    mode, entered, leave = autograd.no_grad(), threading.Event(), threading.Event()
    found = []

    def other():
        with autograd.no_grad():
            with mode:
                entered.set()
                leave.wait(10)
            found.append(autograd.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    with mode:
        leave.set()
        thread.join()
    assert autograd.is_grad_enabled()
    assert found == [False]


def test_no_grad_covers_generators():
    trail = []

    @no_grad()
    def numbers(n):
        try:
            for i in range(n):
                trail.append(autograd.is_grad_enabled())
                try:
                    got = yield i
                except KeyError:
                    got = "thrown"
                trail.append(got)
            return "end"
        finally:
            trail.append(autograd.is_grad_enabled())

    g = numbers(2)
    assert next(g) == 0
    assert autograd.is_grad_enabled()
    assert g.send("sent") == 1
    with pytest.raises(StopIteration) as end:
        g.throw(KeyError())
    assert end.value.value == "end"
    assert trail == [False, "sent", False, "thrown", False]
    h = numbers(2)
    next(h)
    h.close()
    assert trail[-1] is False
    assert autograd.is_grad_enabled()


def test_the_precision_of_a_product_is_that_of_its_line():
    seen = []

    def product(a, b):
        seen.append(jax.default_matmul_precision.value)
        return a @ b

    f = autograd.lift(product)
    a, b = Parameter(np.ones((2, 2), np.float32)), tensor(np.ones((2, 2), np.float32))
    for precision in (None, "highest", None, "bfloat16", "highest"):
        y = a * 1
        with jax.default_matmul_precision(precision):
            z = f(y, b)
            w = y @ b
        (z + w).sum().backward()
        assert set(seen) <= {precision}
        seen.clear()


def test_a_recording_ends_where_settings_change():
    a = tensor(np.ones((2, 2), np.float32))
    for precision in (None, "highest", "highest", None):
        y = a * 2
        before = autograd.cache_info().segments
        with jax.default_matmul_precision(precision):
            z = y @ a
        assert autograd.cache_info().segments - before == (precision is not None)
        assert z.tolist() == [[4, 4], [4, 4]]


SEVERAL = """
import jax, numpy as np
from nablax import autograd
from nablax.autograd import tensor, Parameter
d0, d1 = jax.devices()[:2]

for device in (d0, d1, d0, d1):
    x = tensor([1.0, 2.0])
    y = x * 2
    with jax.default_device(device):
        z = autograd.numpy.ones(2) + autograd.numpy.arange(2)
        t = tensor([1.0]) + 1
    assert z.device == device, (z.device, device)
    assert t.value.devices() == {device}
    assert (tensor([1.0]) + 1).device == d0
    assert y.device == d0

both = jax.sharding.NamedSharding(jax.make_mesh((2,), ("a",)), jax.sharding.PartitionSpec())
for _ in range(3):
    flag = tensor(jax.device_put(np.array(True), both))
    assert bool(flag)
    assert not bool(~flag)
    if flag & True:
        pass
print("fine")
"""


def test_several_devices():
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    env["PYTHONPATH"] = str(Path(autograd.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "fine\n", done.stderr


def test_float64_tensors_go_on_when_x64_is_off_again():
    with jax.enable_x64(True):
        x = tensor(np.array([1.0, 2.0]), requires_grad=True)
        w = x * 2
        w.realize()
    f = tensor([1.0, 2.0])
    for _ in range(3):
        y = x * 3
        assert y.dtype == np.float64
        assert y.tolist() == [3, 6]
        z = (f * x + w).sum()
        z.backward(retain_graph=True)
        assert x.grad.tolist() == [3, 4]
        x.sum().backward()
        assert x.grad.dtype == np.float64
        assert x.grad.tolist() == [4, 5]
        x.grad = None
    assert (f * 2).dtype == np.float32


def _made_under_x64():
    with jax.enable_x64(True):
        return [tensor(np.array(v), requires_grad=True) for v in ([1 / 3, 2 / 7], [1 / 7, 2 / 9])]


def _walked(a, b):
    y = a * b
    y.realize()
    z = (y + b).exp()
    z.realize()
    total = (y * z).sum()
    total.realize()
    (total * z.sum()).backward()


def _accumulated(a, b):
    for _ in range(2):
        y = a * b
        y.realize()
        y.backward(np.array([1 / 3, 1 / 9]))


def _hooked(a, b):
    y = a * b
    y.register_hook(lambda g: np.array(g.tolist()) / 3)
    y.realize()
    (y * y).sum().backward()


def _twice(a, b):
    y = (a * a * b).sum()
    y.realize()
    (g,) = autograd.grad(y, [a], create_graph=True)
    (g * g).sum().backward()


def _given(a, b):
    a.grad = np.array([1 / 3, 1 / 9])
    (a * b).sum().backward()


@pytest.mark.parametrize("tier", ["interpreted", "compiled"])
@pytest.mark.parametrize("walk", [_walked, _accumulated, _hooked, _twice, _given])
def test_gradients_of_float64_tensors_are_float64_where_x64_is_off_again(walk, tier):
    found = []
    for x64 in (True, False):
        leaves = _made_under_x64()
        with autograd.tiers(tier), jax.enable_x64(x64):
            walk(*leaves)
            for leaf in leaves:
                assert leaf.grad.dtype == leaf.grad.value.dtype == leaf.grad.numpy().dtype == np.float64
            found.append([leaf.grad.numpy() for leaf in leaves])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-14)


def test_float64_is_copied_as_it_is():
    a, b = _made_under_x64()
    for again in (copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))):
        assert again(a).tolist() == [1 / 3, 2 / 7]
    a.data = tensor(b[:1])
    assert (a.dtype, a.value.dtype, a.tolist()) == (np.float64, np.float64, [1 / 7])


def test_an_operation_has_64_bits_by_the_setting_at_its_line_and_by_its_arguments():
    """Not by those of the recording that it meets; the second turn finds what the first one knows."""
    for _ in range(2):
        with jax.enable_x64(True):
            y = tensor([1.0, 2.0]) * 3
            wide = [autograd.numpy.arange(3) * 1.5, tensor(np.array([1, 2])).sum()]
        narrow = [autograd.numpy.arange(3) * 1.5, tensor([1, 2]).sum()]
        z = y * 2  # a recording that holds 64 bits, x64 being off
        narrow += [autograd.numpy.arange(3) * 1.5, tensor([1, 2]).sum()]
        wide += [z, z * autograd.numpy.arange(2)]
        assert [x.dtype.itemsize for x in wide] == [8] * 4
        assert [x.dtype.itemsize for x in narrow] == [4] * 4
        assert all(x.value.dtype == x.dtype for x in wide + narrow)


def test_a_number_beside_float64_has_64_bits_where_x64_is_off_again():
    (x, _), lifted = _made_under_x64(), autograd.lift(lambda x, k: x * k)
    with autograd.tiers("interpreted"):
        for v in (0.1, 0.3, 0.7):  # from the second on it is an input
            for found in (x * v, lifted(x, v), lifted(v, x)):
                np.testing.assert_allclose(found.tolist(), np.array([1 / 3, 2 / 7]) * v, rtol=1e-15)


@pytest.mark.parametrize("tier", ["interpreted", "compiled"])
def test_what_numpy_holds_has_64_bits_beside_float64_where_x64_is_off_again(tier):
    (x, _), third = _made_under_x64(), np.array([1 / 3, 1 / 7])
    with jax.enable_x64(True):
        n = tensor([1, 2])
    with autograd.tiers(tier):
        y = x.detach().clone()
        y[0] = 0.1
        assert y.tolist() == [0.1, 2 / 7]
        plain = x.detach().clone().realize()
        for found, want in (
            (x * third, x.tolist() * third), (third[0] * x, third[0] * np.array(x.tolist())),
            (n + np.int64(2**40), [2**40 + 1, 2**40 + 2]), (plain[0] + plain * 2, 1 / 3 + 2 * np.array(x.tolist())),
        ):  # fmt: skip
            np.testing.assert_allclose(found.tolist(), want, rtol=1e-15)


def _turns(x):
    y = x
    for i in range(60):
        y = jnp.sin(1.01 * y) + x if i % 7 else y * 0.5
    return y.sum()


def test_a_long_recording_of_float64_is_cut_where_x64_is_off_again():
    x, _ = _made_under_x64()
    with autograd.max_segment(40):
        y = x
        for i in range(60):
            y = (y * 1.01).sin() + x if i % 7 else y * 0.5
        y.sum().backward()
    with jax.enable_x64(True):
        want = jax.grad(_turns)(jnp.asarray([1 / 3, 2 / 7]))
    np.testing.assert_allclose(x.grad.tolist(), want, rtol=1e-12)


def test_only_our_own_folder_is_hidden(tmp_path):
    folder = Path(autograd.__file__).parents[1]
    code = compile(
        "from nablax.autograd._ground._errors import user_line\nline = user_line()",
        f"{folder}_mine/a.py",
        "exec",
    )
    scope = {}
    exec(code, scope)
    assert scope["line"] == f"{folder}_mine/a.py:2"
