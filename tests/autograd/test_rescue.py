"""Programs that fail or are interrupted lose nothing that can still be had; recordings of threads that have ended."""

import sys
import threading

import jax
import numpy as np
import pytest

from nablax import autograd

broken = threading.Event()
interrupted = threading.Event()


def callback(x):
    if broken.is_set():
        raise ValueError("the sensor is off")
    return x


@autograd.lift
@jax.custom_jvp
def sensor(x):
    return jax.pure_callback(callback, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@sensor.fn.__wrapped__.defjvp
def _(primals, tangents):
    return sensor.fn.__wrapped__(*primals), tangents[0]


@pytest.fixture(autouse=True)
def mended():
    yield
    broken.clear()


def interrupted_at(call, fn):
    """Whether `fn` is interrupted at that call of a function of its own, counted from where a recording ends."""
    left = None

    def trace(frame, event, _):
        nonlocal left
        if event == "call" and left is None and frame.f_code.co_name == "flush":
            left = call
        if left is not None and event in ("call", "return") and (left := left - 1) == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(trace)
    try:
        fn()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_nothing_is_lost_wherever_a_recording_is_interrupted_as_it_ends():
    call, interrupts = 1, 0
    while call < 400:
        p = autograd.tensor([1.0, 2.0], requires_grad=True)
        y = (p * 3).sin()
        with autograd.no_grad():
            p -= 0.5
            going = interrupted_at(call, p.realize)
        interrupts += going
        assert p.tolist() == [0.5, 1.5]
        y.sum().backward()
        np.testing.assert_allclose(p.grad.numpy(), 3 * np.cos([3, 6]), rtol=1e-5)
        if not going:
            break
        call += 1
    assert interrupts > 10


@pytest.mark.parametrize("runs", [1, 3])
def test_only_what_was_computed_from_a_failed_operation_is_lost(runs):
    for _ in range(runs):  # interpreted at first, then as one program
        broken.set()
        x = autograd.tensor([1.0, 2.0], requires_grad=True)
        before = x * 2
        read = sensor(before)
        after = read + 1
        beside = before.sin()
        with pytest.raises(Exception, match="the sensor is off") as caught:
            read.realize()
        assert any(
            "sensor, recorded at" in note and "test_rescue.py" in note for note in caught.value.__notes__
        )
        assert before.tolist() == [2.0, 4.0]
        for tensor in (read, after):
            assert tensor.shape == (2,)
            with pytest.raises(autograd.FailedError, match=r"sensor, recorded at .*test_rescue\.py"):
                tensor.tolist()
        with pytest.raises(autograd.FailedError, match="sensor"):
            after.sum().backward()
        beside.sum().backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos([2.0, 4.0]), rtol=1e-6)
        broken.clear()
        sensor(before * 1.0).sum().backward()  # and the same structure runs when it can again


@pytest.mark.parametrize("runs", [1, 3])
def test_a_backward_that_fails_leaves_gradients_as_they_were(runs):
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    y = autograd.tensor([3.0, 4.0], requires_grad=True)
    for _ in range(runs):
        x.zero_grad()
        broken.clear()
        (x * 5).sum().backward()
        broken.set()
        with pytest.raises(Exception, match="the sensor is off"):
            (sensor(x) * y).sum().backward()
        assert x.grad.tolist() == [5.0, 5.0]
        assert y.grad is None


def test_an_interrupted_program_goes_on(monkeypatch):
    w = autograd.Parameter([1.0, 2.0])
    with monkeypatch.context() as patch:

        def stop(*args):
            raise KeyboardInterrupt

        patch.setattr("nablax.autograd._program._program.Program.forward", stop)
        loss = (w * w).sum()
        loss.backward(lazy=True)
        with pytest.raises(KeyboardInterrupt), autograd.no_grad():
            w -= 0.5 * w.grad
    assert w.tolist() == [0.0, 0.0]
    assert loss.item() == 5.0


def test_a_recording_outlives_its_thread():
    w = autograd.Parameter([1.0, 2.0])
    made = []

    def work():
        made.append((w * w).sum())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (made[0] * 3).backward()
    assert w.grad.tolist() == [6.0, 12.0]
    assert made[0].item() == 5.0


def test_threads_may_share_leaves():
    w = autograd.Parameter(np.ones(4, np.float32))
    start = threading.Barrier(2)

    def work():
        start.wait()
        for i in range(200):
            (w * w * (i % 3)).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.grad.tolist() == [2.0 * 2 * sum(i % 3 for i in range(200))] * 4
