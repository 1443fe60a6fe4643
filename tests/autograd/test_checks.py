"""Errors that teach, detect_anomaly, gradcheck."""

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd


def line_of(mark):
    return next(
        i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# " + mark)
    )


def test_a_shape_mismatch_is_reported_on_the_users_own_line_at_once():
    a, b = autograd.tensor(np.ones((2, 3))), autograd.tensor(np.ones((2, 3)))
    with pytest.raises(autograd.ShapeError, match=r"matmul\(float32\[2,3\], float32\[2,3\]\)") as caught:
        a @ b  # mismatch
    assert f"test_checks.py:{line_of('mismatch')}" in str(caught.value)
    assert issubclass(autograd.ShapeError, ValueError)
    assert issubclass(autograd.ShapeError, TypeError)
    with pytest.raises(autograd.ShapeError, match="concatenate"):
        autograd.numpy.concatenate([a, autograd.tensor(np.ones((2, 2)))], axis=0)
    assert (a + b).sum().item() == 12  # the recording goes on


def test_every_error_derives_from_ours():
    for name in ("ShapeError", "NonScalarError", "NoGradientError", "GraphFreedError", "InPlaceError", "LostTapeError",
                 "ThreadError", "FailedError", "AnomalyError", "GradcheckError", "TooLargeError"):  # fmt: skip
        kind = getattr(autograd, name)
        assert issubclass(kind, autograd.AutogradError)
        assert len(kind.__bases__) > 1


def test_detect_anomaly_names_operation_and_line():
    x = autograd.tensor([1.0, -1.0], requires_grad=True)
    with autograd.detect_anomaly():
        y = x * 2
        with pytest.raises(autograd.AnomalyError, match=r"sqrt made a NaN") as caught:
            y.sqrt()  # root
        assert f"test_checks.py:{line_of('root')}" in str(caught.value)
        (y * y).sum().backward()
        assert x.grad.tolist() == [8, -8]
    z = x.sqrt()  # outside nothing happens
    assert np.isnan(z.numpy(force=True)[1])
    with autograd.detect_anomaly(inf=True), pytest.raises(autograd.AnomalyError, match="infinity"):
        x / 0
    bad = autograd.tensor([np.nan])
    with autograd.detect_anomaly(), pytest.raises(autograd.AnomalyError, match="already"):
        bad * 2


def test_detect_anomaly_in_a_backward():
    x = autograd.tensor([0.0, 1.0], requires_grad=True)
    with autograd.detect_anomaly():
        y = x.sqrt() * 0.0  # inner
        with pytest.raises(autograd.AnomalyError, match="backward of sqrt"):
            y.sum().backward()
    z = (x * 3).sqrt()  # early
    loss = (z * 0.0 + x).sum().realize()  # in one segment
    with autograd.detect_anomaly(), pytest.raises(autograd.AnomalyError, match="backward of sqrt") as caught:
        loss.backward()
    assert f"test_checks.py:{line_of('early')}, made a NaN" in str(caught.value)


def test_gradcheck():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = autograd.tensor(rng.standard_normal((2, 3)), requires_grad=True)
        w = autograd.tensor(rng.standard_normal((3, 2)), requires_grad=True)

        def f(x, w):
            return (x @ w).tanh() * (x**2).sum(), autograd.nn.softmax(w)

        assert autograd.gradcheck(f, [x, w])
        assert autograd.gradgradcheck(f, [x, w])

        @jax.custom_vjp
        def wrong(x):
            return jnp.sin(x)

        wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x) * 1.01,))
        with pytest.raises(autograd.GradcheckError, match="finite differences"):
            autograd.gradcheck(autograd.lift(wrong), x)
        assert not autograd.gradcheck(autograd.lift(wrong), x, raise_exception=False)
        with pytest.raises(ValueError, match="requires grad"):
            autograd.gradcheck(f, [x.detach(), w.detach()])


def test_gradcheck_refuses_low_precision():
    x = autograd.tensor([0.3, 0.7], requires_grad=True)
    with pytest.raises(ValueError, match="float64"):
        autograd.gradcheck(lambda x: x.sin(), x)
    assert autograd.gradcheck(lambda x: x.sin(), x, eps=1e-2, atol=1e-2, rtol=1e-2, low_precision=True)


def test_losses_of_nablax_name_the_users_line():
    import nablax

    x = autograd.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(autograd.LostTapeError, match=r"autograd.lift\(f\).*test_checks.py:\d+"):
        nablax.losses.huber_loss(x, np.zeros(3, np.float32))
    square = autograd.tensor(np.ones((2, 3)), requires_grad=True)
    for name in [n for n in dir(nablax.losses) if not n.startswith("_")]:
        loss = getattr(nablax.losses, name)
        given = [p for p in inspect.signature(loss).parameters.values() if p.default is p.empty]
        if name != "make_fenchel_young_loss":  # takes a function
            with pytest.raises(autograd.LostTapeError, match=r"test_checks.py:\d+"):
                loss(*[square] * len(given))
    autograd.lift(nablax.losses.huber_loss)(x, np.zeros(3, np.float32)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 1.0)
