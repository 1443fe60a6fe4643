"""What a user of torch expects: backward, grad, detach, no_grad, hooks, control flow."""

import copy
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd


def leaf(*values, **options):
    return autograd.tensor(list(values) if len(values) > 1 else values[0], requires_grad=True, **options)


def test_the_first_example():
    x = autograd.tensor([0.0, 1.0, 2.0, 3.0], requires_grad=True)
    assert x.grad is None
    y = 2 * autograd.dot(x, x)
    y.backward()
    assert x.grad.tolist() == (4 * x).tolist() == [0, 4, 8, 12]
    assert y.item() == 28
    x.zero_grad()
    assert x.grad is None
    x.sum().backward()
    autograd.zero_grad([x, {"a": x}])
    assert x.grad is None


def test_gradients_accumulate_in_the_same_tensor():
    x = leaf(1.0, 2.0)
    for n in range(1, 5):
        (x * x).sum().backward()
        if n == 1:
            first = x.grad
        assert x.grad is first
        np.testing.assert_allclose(first.numpy(), [2 * n, 4 * n])


def test_accumulation_reuses_the_buffer_and_holds_no_more_of_them():
    x = autograd.tensor(np.ones(5000), requires_grad=True)
    with autograd.tiers("compiled"):
        for _ in range(3):
            (x * 2).sum().backward()
        # .value would hand the array out, and what was handed out is not used again
        jax.block_until_ready(x.grad._v)
        places, counts = set(), set()
        for _ in range(300):
            (x * 2).sum().backward()
            places.add(x.grad._v.unsafe_buffer_pointer())
            counts.add(len(jax.live_arrays()))
    assert len(places) == 1
    assert len(counts) == 1
    np.testing.assert_allclose(x.grad.numpy(), 606.0)


@pytest.mark.parametrize("hold", [lambda t: t.value, np.asarray], ids=["array", "view"])
def test_accumulation_never_destroys_a_buffer_that_someone_holds(hold):
    x = autograd.tensor(np.ones(5000), requires_grad=True)
    with autograd.tiers("compiled"):
        for _ in range(4):
            (x * 2).sum().backward()
            held = hold(x.grad)
        (x * 2).sum().backward()
    np.testing.assert_allclose(held, 8.0)
    np.testing.assert_allclose(x.grad.numpy(), 10.0)


def test_backward_of_more_than_one_number_shows_both_ways_out():
    x = leaf(1.0, 2.0)
    with pytest.raises(autograd.NonScalarError, match=r"y\.sum\(\)\.backward\(\).*y\.backward\(cotangent\)"):
        (x * x).backward()
    assert issubclass(autograd.NonScalarError, RuntimeError)
    y = x * x
    y.backward(autograd.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]
    (x * x).backward(np.array([1.0, 0.0]))
    assert x.grad.tolist() == [4, 40]
    with pytest.raises(autograd.NonScalarError, match=r"shape \(3,\).*\(2,\)"):
        (x * x).backward(np.ones(3))
    (x.sum() * 2).reshape(1, 1).backward()  # one number, whatever its axes


def test_detach():
    x = leaf(1.0, 2.0, 3.0)
    y = x * x
    u = y.detach()
    z = u * x
    z.sum().backward()
    assert x.grad.tolist() == u.tolist() == [1, 4, 9]
    assert not u.requires_grad
    x.zero_grad()
    y.sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_no_grad_as_context_and_decorator():
    x = leaf(1.0, 2.0)
    with autograd.no_grad():
        y = x * 2
        assert not autograd.is_grad_enabled()
        with autograd.enable_grad():
            z = x * 3
    assert not y.requires_grad
    assert z.requires_grad
    (y * x + z).sum().backward()
    assert x.grad.tolist() == [2 + 3, 4 + 3]

    @autograd.no_grad()
    def f(a):
        return a * a

    assert not f(x).requires_grad
    assert autograd.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), autograd.no_grad():
        raise ZeroDivisionError
    assert autograd.is_grad_enabled()


def test_requires_grad_and_is_leaf():
    x = autograd.tensor([1.0, 2.0])
    y = x * 2
    assert x.is_leaf
    assert y.is_leaf
    assert not y.requires_grad
    assert x.requires_grad_() is x
    z = x * 2
    assert x.is_leaf
    assert not z.is_leaf
    (z + y).sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(autograd.NoGradientError, match="detach"):
        z.requires_grad_(False)
    with pytest.raises(autograd.NoGradientError, match="floating"):
        autograd.tensor([1, 2]).requires_grad_()
    w = x * 1.0  # recorded with the flag on
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    assert w.requires_grad
    p = (autograd.tensor([1.0]) * 3).requires_grad_()
    (p * p).sum().backward()
    assert p.grad.tolist() == [6]
    point = (x * 2).detach().realize()
    before = point._v
    assert point.requires_grad_()._v is before  # no array of another kind


@pytest.mark.parametrize("look", [False, True])
def test_retain_grad(look):
    x = leaf(1.0, 2.0)
    y = x * 2
    if look:
        float(y.sum())
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 8]
    assert x.grad.tolist() == [8, 16]
    plain = x * 2
    plain.sum().backward()
    assert plain.grad is None
    z = x * 3
    z.retain_grad()
    w = z * 2
    float(w.sum())  # a segment ends between
    (w * z).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), 4 * 3 * x.numpy(force=True))


@pytest.mark.parametrize("look", [False, True])
def test_hooks(look):
    x = leaf(1.0, 2.0)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    z = y.sin() + y  # uses y before the hook is there
    if look:
        float(z.sum())
    h = y.register_hook(lambda g: g * 10)
    (z + y * y).sum().backward()
    want = 10 * 2 * (np.cos([2.0, 4.0]) + 1 + np.array([4.0, 8.0]))
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-5)
    np.testing.assert_allclose(seen, [want], rtol=1e-5)
    handle.remove()
    h.remove()
    x.zero_grad()
    x.sum().backward()
    assert len(seen) == 1
    x.register_hook(lambda g: g * 0 + 7)
    x.zero_grad()
    x.sum().backward()
    assert x.grad.tolist() == [7, 7]
    with pytest.raises(autograd.NoGradientError):
        autograd.tensor(1.0).register_hook(print)


def test_parameter():
    w = autograd.Parameter([1.0, 2.0], name="w")
    assert isinstance(w, autograd.Tensor)
    assert w.requires_grad
    assert w.name == "w"
    assert "Parameter" in repr(w)
    (w * w).sum().backward()
    with autograd.no_grad():
        w -= 0.25 * w.grad
    assert isinstance(w, autograd.Parameter)
    assert w.requires_grad
    assert w.is_leaf
    assert w.tolist() == [0.5, 1.0]


def double_until(a):
    b = a * 2
    while b.norm() < 1000:
        b = b * 2
    return b if b.sum() > 0 else 100 * b


def test_a_while_loop_on_scalars_reuses_programs():
    rng = np.random.default_rng(0)
    before = autograd.cache_info()
    for value in rng.standard_normal(60):
        a = leaf(value)
        d = double_until(a)
        d.backward()
        np.testing.assert_allclose(a.grad.item(), d.item() / a.item(), rtol=1e-6)
    after = autograd.cache_info()
    made = after.compilations + after.operations - before.compilations - before.operations
    assert made <= 12


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_a_while_loop_on_vectors_and_matrices(shape):
    for sign in (1, -1):
        a = autograd.tensor(
            sign * np.abs(np.random.default_rng(1).standard_normal(shape)), requires_grad=True
        )
        d = double_until(a)
        d.sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), (d / a).numpy(force=True), rtol=1e-5)


def test_recursion_comprehensions_early_return_and_exceptions():
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    x = leaf(1.5)
    power(x, 5).backward()
    np.testing.assert_allclose(x.grad.item(), 5 * 1.5**4, rtol=1e-6)

    def first_big(x):
        for v in [x * k for k in range(1, 10)]:
            if v > 4:
                return v * v
        return x

    x.zero_grad()
    first_big(x).backward()
    np.testing.assert_allclose(x.grad.item(), 2 * 9 * 1.5, rtol=1e-6)

    x.zero_grad()
    y = x * x
    try:
        z = y * 3
        raise KeyError
    except KeyError:
        pass
    with pytest.raises(autograd.ShapeError):
        y + autograd.tensor([1.0, 2.0]) @ autograd.tensor([1.0, 2.0, 3.0])
    (y + z).backward()
    np.testing.assert_allclose(x.grad.item(), 8 * 1.5, rtol=1e-6)


@pytest.mark.parametrize("look", [False, True])
def test_a_second_backward_names_tensor_line_and_way_out(look):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()  # this line
    if look:
        y.item()
    y.backward()
    with pytest.raises(autograd.GraphFreedError, match=r"test_tensor\.py:\d+.*retain_graph=True") as caught:
        y.backward()
    line = next(
        i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# this line")
    )
    assert f"test_tensor.py:{line} " in str(caught.value)
    y.name = "loss"
    with pytest.raises(autograd.GraphFreedError, match="the graph of tensor 'loss' recorded at"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.tolist() == [6, 12]


def test_a_graph_is_freed_for_each_output():
    x = leaf(2.0)
    l1, l2 = x * x, x * x * x
    l1.backward()
    l2.backward()
    assert x.grad.item() == 4 + 12
    l1, l2 = x * x, x * x * x
    float(l1)  # one segment holds both
    l1.backward()
    l2.backward()
    assert x.grad.item() == 2 * (4 + 12)
    y = x * x
    a, b = y * 2, y * 3
    a.backward()
    with pytest.raises(autograd.GraphFreedError):
        b.backward()


def test_only_inputs_that_the_loss_reaches_get_a_gradient():
    x, w = leaf(1.0), leaf(2.0)
    y, other = x * x, w * w
    y.backward()
    assert w.grad is None
    other.backward()
    assert w.grad.item() == 4
    x.zero_grad()
    w.zero_grad()
    y, other = x * x, w * w
    y.item()
    y.backward()
    assert w.grad is None


def test_backward_of_leaves_and_of_what_needs_none():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1
    with pytest.raises(autograd.NoGradientError, match="requires_grad=True"):
        autograd.tensor(1.0).backward()
    with pytest.raises(autograd.NoGradientError):
        (x.detach() * 2).backward()


def test_values():
    x = autograd.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.shape == (2, 2)
    assert (x.ndim, x.size, len(x), x.dim(), x.numel()) == (2, 4, 2, 2, 4)
    assert x.dtype == np.float32
    assert repr(x) == "tensor([[1., 2.],\n        [3., 4.]])"
    assert f"{x.sum():.2f}" == "10.00"
    assert int(x[0, 0]) == 1
    assert complex(x[0, 0]) == 1
    assert [1, 2, 3][autograd.tensor(1)] == 2
    assert 3.0 in x
    assert isinstance(x.value, jax.Array)
    assert hash(x) != hash(autograd.tensor([[1.0]]))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)
    with pytest.raises(TypeError):
        len(autograd.tensor(1.0))
    given = np.ones(3)
    t = autograd.tensor(given)
    given[0] = 5
    assert t.tolist() == [1, 1, 1]
    assert autograd.tensor([x[0], x[1]]).shape == (2, 2)
    assert (x * True).dtype == np.float32
    assert autograd.tensor([1, 2], dtype=jnp.bfloat16).dtype == jnp.bfloat16


def test_tensors_are_pickled_and_copied_as_values():
    x = leaf(1.0, 2.0, name="x")
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert again.tolist() == [1, 2]
        assert again.requires_grad
        assert again.name == "x"
    y = pickle.loads(pickle.dumps(x * 2))
    assert y.tolist() == [2, 4]
    assert not y.requires_grad
    w = pickle.loads(pickle.dumps(autograd.Parameter([1.0])))
    assert isinstance(w, autograd.Parameter)


def test_lazy_backward_joins_the_update():
    w = autograd.Parameter(np.ones(3))
    for _ in range(4):
        loss = ((w - 3) ** 2).sum()
        loss.backward(lazy=True)
        with autograd.no_grad():
            w -= 0.1 * w.grad
        w.zero_grad()
    want = np.ones(3)
    for _ in range(4):
        want -= 0.1 * 2 * (want - 3)
    np.testing.assert_allclose(w.numpy(force=True), want, rtol=1e-6)


def test_float64_and_float32_do_not_mix_up():
    x = leaf(1.0, 2.0)
    y = x * 2
    with jax.enable_x64(True):
        z = leaf(1.0, 2.0)
        assert z.dtype == np.float64
        (z * z).sum().backward()
        assert z.grad.dtype == np.float64
        assert (y * 1).dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32
    with jax.enable_x64(True):
        w = (z * z).sum()
    w.backward()
    assert z.grad.dtype == np.float64
    np.testing.assert_allclose(z.grad.numpy(), [4, 8])


def test_attributes_that_a_user_sets_stay():
    w = autograd.Parameter([1.0, 2.0])
    w.tag, w.is_bias = "head", True
    y = w * 2
    y.note = 3
    y.sum().backward()
    with autograd.no_grad():
        w -= 0.1 * w.grad
    assert (w.tag, w.is_bias, y.note) == ("head", True, 3)
    assert not hasattr(w * 2, "tag")
    with pytest.raises(AttributeError):
        _ = y.tag


@pytest.mark.parametrize("tier", ["interpreted", "compiled"])
def test_a_number_too_large_is_infinite_and_nobody_is_warned(tier):
    """A warning is an error in these tests."""
    x = leaf(1.0, 2.0)
    with autograd.tiers(tier):
        for v in (1e300, -2e300, 3e300):  # the second one on they are inputs
            assert (x * v).tolist() == [np.copysign(np.inf, v)] * 2
            assert (v - x).tolist() == [np.copysign(np.inf, v)] * 2
        assert (x < 1e300).tolist() == [True, True]
        assert (x / 1e300).tolist() == [0, 0]
        assert x.clamp(max=1e300).tolist() == [1, 2]
        assert x.masked_fill(x > 1, -1e300).tolist() == [1, -np.inf]
        assert (x.half() * 7e4).tolist() == [np.inf, np.inf]
        assert (autograd.tensor([1, 2]) * 1e300).tolist() == [np.inf, np.inf]
        y = x * 1
        y[0] = 1e300
        assert y.tolist() == [np.inf, 2]
        (x * 1e300).sum().backward()
        assert x.grad.tolist() == [np.inf, np.inf]
    for made in (autograd.tensor(1e300), autograd.full((), 1e300), autograd.linspace(1e300, 1e300, 1)):
        assert made.item() == np.inf


def test_an_integer_that_32_bits_cannot_hold_is_a_floating_number_beside_one():
    x = leaf(1.0, 3.0)
    for n in (2**31, 2**40, -(2**33)):  # from the second on it is an input
        (x / n).sum().backward()
        assert ((x * n).tolist(), (n / x)[0].item(), (x < n).tolist()) == ([n, 3 * n], n, [n > 0] * 2)
    np.testing.assert_allclose(x.grad.numpy(), sum([1 / 2**31, 1 / 2**40, -1 / 2**33]), rtol=1e-6)


TOO_LARGE_FOR = (
    lambda x, n: x + n, lambda x, n: n - x, lambda x, n: x * n, lambda x, n: x // n, lambda x, n: x % n,
    lambda x, n: x & n, lambda x, n: x.add(n), lambda x, n: autograd.add(x, n), lambda x, n: x.clamp(min=n),
    lambda x, n: np.add(x, n), lambda x, n: np.maximum(x, n), lambda x, n: x.div(n, rounding_mode="floor"),
    lambda x, n: x.masked_fill(x > 0, n), lambda x, n: x.add_(n), lambda x, n: x.fill_(n),
    lambda x, n: x.__setitem__(0, n), lambda x, n: autograd.full_like(x, n),
)  # fmt: skip


def test_a_large_integer_beside_integers_compares_and_divides_and_is_refused_elsewhere():
    x = autograd.tensor([1, -(2**31), 2**31 - 1])
    for n in (2**31, 2**40, 2**70):
        for less, more in (
            (x < n, x > n), (x.lt(n), x.gt(n)), (x > -n - 1, x < -n - 1), (x != n, x == n),
            (np.less(x, n), np.greater(x, n)),
        ):  # fmt: skip
            assert (less.tolist(), more.tolist()) == ([True] * 3, [False] * 3)
        np.testing.assert_allclose((x / n).numpy(), x.numpy() / n, rtol=1e-6)
        np.testing.assert_allclose(x.true_divide(-n).numpy(), x.numpy() / -n, rtol=1e-6)
        np.testing.assert_allclose(x.div(n).numpy(), x.numpy() / n, rtol=1e-6)
        assert x.clamp(max=n).tolist() == x.clamp(-n - 1, n).tolist() == x.tolist()
        for wrong in TOO_LARGE_FOR:
            with pytest.raises(autograd.TooLargeError, match=f"{n} needs 64 bits, and x64 is off"):
                wrong(x, n)
    assert x.tolist() == [1, -(2**31), 2**31 - 1]
    with pytest.raises(OverflowError):
        autograd.lift(lambda v: v + 2**31)(x)
    for n in (2**31, 2**31 + 1, 2**31 + 2):  # from the second on it is an input
        assert (autograd.tensor([1], dtype="uint32") + n).tolist() == [n + 1]
    for wrong in (np.int64(2**40), np.array([2**40])):
        with pytest.raises(autograd.TooLargeError):
            x + wrong
    assert (x < np.int64(2**40)).all()
    assert (x < 10**400).all()
    with pytest.raises(autograd.TooLargeError, match="randint"):
        autograd.randint(0, 2**40, (2,))
    assert autograd.randint(0, 2**31, (2,)).shape == (2,)
    with jax.enable_x64(True):
        wide = autograd.tensor([1])
        assert (wide + 2**31).tolist() == [2**31 + 1]
    assert (wide + 2**31).tolist() == wide.add(2**31).tolist() == [2**31 + 1]


def test_functions_beside_floating_numbers_take_large_integers():
    x = leaf(1.0, 2.0)
    for n in (2**31, -(2**40)):
        assert x.masked_fill(autograd.tensor([True, False]), n).tolist() == [n, 2]
        assert autograd.where(autograd.tensor([True, False]), x, n).tolist() == [1, n]
        assert x.clamp(min=-(2**50), max=2**50).tolist() == [1, 2]
        # Sizes are none of them.
        assert (x.roll(2**31 + 1).tolist(), x.split(2**40)[0].tolist()) == ([2, 1], [1, 2])
        assert (x < 10**400).all()
        assert autograd.add(x, n).tolist() == [np.float32(n) + 1, np.float32(n) + 2]


def test_integers_that_need_64_bits_are_refused_without_x64():
    for value in (2**31, [1, 2**32], np.array([-(2**40)]), np.uint64(2**63), -(2**31) - 1):
        with pytest.raises(OverflowError, match="needs 64 bits, and x64 is off"):
            autograd.tensor(value)
    with pytest.raises(autograd.TooLargeError):
        autograd.arange(2**31, 2**31 + 2)
    assert autograd.tensor([2**31 - 1, -(2**31)]).tolist() == [2147483647, -2147483648]
    assert autograd.tensor(np.array([], np.int64)).shape == (0,)
    assert autograd.tensor(2**31, dtype="float32").item() == 2**31
    with jax.enable_x64(True):
        assert autograd.tensor([2**40]).tolist() == [2**40]
