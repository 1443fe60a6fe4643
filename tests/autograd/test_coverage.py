"""Lifting by name, pytrees, NumPy's protocols, and other libraries' modules."""

import enum
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd

X = np.array([[0.3, -0.7, 0.5], [0.9, 0.2, -0.4], [0.1, 0.6, 0.8]], np.float32)
V = np.array([0.4, -0.2, 0.9], np.float32)


@functools.cache
def calls():
    """Every public function of jax.numpy that takes one or two arrays, with arguments that suit it."""
    special = {
        "arange": (5,), "linspace": (0.0, 1.0, 5), "logspace": (0.0, 1.0, 5), "geomspace": (1.0, 2.0, 5), "eye": (3,),
        "identity": (3,), "ones": ((2,),), "zeros": ((2,),), "empty": ((2,),), "full": ((2,), 3.0), "tri": (3,),
        "full_like": (X, 2.0), "reshape": (X, (9,)), "transpose": (X,), "moveaxis": (X, 0, 1), "swapaxes": (X, 0, 1),
        "rollaxis": (X, 1), "expand_dims": (X, 0), "broadcast_to": (V, (2, 3)), "repeat": (V, 2), "tile": (V, 2),
        "take": (V, np.array([0, 2])), "take_along_axis": (X, np.array([[0], [1], [2]]), 1), "roll": (V, 1),
        "concatenate": ([V, V],), "stack": ([V, V],), "hstack": ([V, V],), "vstack": ([V, V],), "dstack": ([V, V],),
        "column_stack": ([V, V],), "block": ([V, V],), "append": (V, V), "split": (V, 3), "array_split": (V, 2),
        "hsplit": (V, 3), "vsplit": (X, 3), "dsplit": (X[None], 3), "where": (V > 0, V, 2 * V), "clip": (V, -0.3, 0.3),
        "einsum": ("ij,j->i", X, V), "tensordot": (X, X), "polyval": (V, V), "polyfit": None,
        "interp": (V, np.sort(V), V),
        "percentile": (V, 30.0), "quantile": (V, 0.3), "nanpercentile": (V, 30.0), "nanquantile": (V, 0.3),
        "pad": (V, 1), "insert": (V, 1, 5.0), "delete": (V, 1), "partition": (V, 1), "argpartition": (V, 1),
        "diff": (V,), "gradient": (V,), "cross": (V, V), "kron": (V, V), "outer": (V, V), "vander": (V,),
        "histogram": None,
        "select": ([V > 0, V < 0], [V, 2 * V]), "piecewise": None, "apply_along_axis": (jnp.sum, 0, X),
        "apply_over_axes": (jnp.sum, X, [0]), "fromfunction": None, "frombuffer": None, "from_dlpack": None,
        "fromfile": None, "fromiter": None, "fromstring": None, "load": None, "save": None, "savez": None,
        "rot90": (X,),
        "ldexp": (V, np.array([1, 2, 3])), "searchsorted": (np.sort(V), V), "digitize": (V, np.sort(V)),
        "unravel_index": (np.array([1, 2]), (3, 3)), "ravel_multi_index": ((np.array([1]), np.array([2])), (3, 3)),
        "indices": ((2, 2),), "meshgrid": (V, V), "ix_": (np.array([0, 1]), np.array([1, 2])), "choose": None,
        "put": None, "put_along_axis": None, "fill_diagonal": None, "place": None, "copyto": None,
        "compress": (V > 0, V),
        "extract": (V > 0, V), "bincount": (np.array([0, 1, 1]),), "packbits": (np.array([1, 0, 1]) > 0,),
        "unpackbits": (np.array([3], np.uint8),), "heaviside": (V, V), "isin": (V, V), "cov": (X,), "corrcoef": (X,),
        "trapezoid": (V,), "convolve": (V, V), "correlate": (V, V), "convolve_": None, "roots": None, "poly": None,
        "vectorize": None, "frompyfunc": None, "einsum_path": ("ij,j->i", X, V), "histogram2d": None,
        "histogramdd": None,
        "histogram_bin_edges": (V,), "arccosh": (1 + V**2,), "acosh": (1 + V**2,), "float_power": (V**2, V),
        "power": (V**2, V), "pow": (V**2, V), "cumulative_sum": (V,), "cumulative_prod": (V,), "diagonal": (X,),
        "trace": (X,), "diag": (V,), "diagflat": (V,), "diag_indices": (3,), "diag_indices_from": (X,), "tril": (X,),
        "triu": (X,), "tril_indices": (3,), "triu_indices": (3,), "tril_indices_from": (X,), "triu_indices_from": (X,),
        "mask_indices": None, "matvec": (X, V), "vecmat": (V, X), "vecdot": (V, V), "dot": (V, V), "vdot": (V, V),
        "inner": (V, V), "matmul": (X, X), "bitwise_count": (np.array([3]),), "bitwise_invert": (np.array([3]),),
        "bitwise_not": (np.array([3]),), "invert": (np.array([3]),), "bitwise_left_shift": (np.array([3]), 1),
        "bitwise_right_shift": (np.array([3]), 1), "left_shift": (np.array([3]), 1), "right_shift": (np.array([3]), 1),
        "bitwise_and": (np.array([3]), 1), "bitwise_or": (np.array([3]), 1), "bitwise_xor": (np.array([3]), 1),
        "gcd": (np.array([4]), 6), "lcm": (np.array([4]), 6), "astype": (V, np.float16), "matrix_transpose": (X,),
        "permute_dims": (X, (1, 0)), "unstack": (X,), "array": (V,), "asarray": (V,), "copy": (V,),
        "ascontiguousarray": (V,),
        "polyadd": (V, V), "polysub": (V, V), "polymul": (V, V), "polydiv": (V, V), "polyint": (V,), "polyder": (V,),
        "resize": (V, (2, 2)), "trim_zeros": (V,), "broadcast_arrays": (V, X), "broadcast_shapes": ((3,), (3, 3)),
        "lexsort": ((V, V),), "setdiff1d": (V, V), "angle": (V,), "block_": None, "nan_to_num": (V,),
        "can_cast": ("f4", "f8"),
        "promote_types": ("f4", "f8"), "result_type": (V, V), "isdtype": (np.dtype("f4"), "real floating"),
        "issubdtype": ("f4", np.floating), "finfo": ("f4",), "iinfo": ("i4",), "blackman": (4,), "hamming": (4,),
        "hanning": (4,), "kaiser": (4, 1.0), "bartlett": (4,), "sort_complex": (V,), "nonzero": (V,),
        "atleast_1d": (V,), "atleast_2d": (V,), "atleast_3d": (V,), "squeeze": (X[None],), "i0": (V,), "sinc": (V,),
        "deg2rad": (V,), "size": (V,), "iterable": (V,), "printoptions": None, "set_printoptions": None,
        "get_printoptions": None, "fmod": (V, V), "argwhere": (V,), "ones_like": (V,), "zeros_like": (V,),
        "empty_like": (V,),
        "concat": ([V, V],), "unwrap": (V,), "apply": None,
    }  # fmt: skip
    found = {}
    for name in sorted(dir(jnp)):
        fn = getattr(jnp, name)
        wrong_kind = (
            isinstance(fn, type | enum.EnumMeta) or inspect.ismodule(fn) or type(fn).__name__ == "_ScalarMeta"
        )
        if name.startswith("_") or not callable(fn) or wrong_kind:
            continue
        if name in special:
            if special[name] is not None:
                found[name] = special[name]
            continue
        for args in ((V,), (V, V), (X,)):
            try:
                fn(*args)
            except Exception:
                continue
            found[name] = args
            break
    return found


def test_most_of_jax_numpy_is_covered():
    assert len(calls()) >= 238


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(4))
def test_jax_numpy_by_name(part):
    wrong = []
    for name in sorted(calls())[part::4]:
        args = calls()[name]

        def wrap(a):
            return autograd.tensor(a) if isinstance(a, np.ndarray) else a

        try:
            want = getattr(jnp, name)(
                *jax.tree.map(lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a, args)
            )
            got = getattr(autograd.numpy, name)(*jax.tree.map(wrap, args))
            same = jax.tree.all(jax.tree.map(_same, got, want))
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            continue
        if not same:
            wrong.append(f"{name}: {got} instead of {want}")
    assert not wrong, "\n".join(wrong)


def _same(got, want):
    if isinstance(got, autograd.Tensor):
        assert got.dtype == want.dtype
        return np.allclose(got.numpy(), want, atol=1e-5, equal_nan=True)
    return bool(np.all(np.asarray(got == want))) or not isinstance(want, int | float | bool | np.generic)


def test_other_namespaces():
    x = autograd.tensor(V, requires_grad=True)
    cases = {
        autograd.nn.softmax: (jax.nn.softmax, {"axis": -1}), autograd.nn.gelu: (jax.nn.gelu, {"approximate": False}),
        autograd.nn.leaky_relu: (jax.nn.leaky_relu, {"negative_slope": 0.3}), autograd.lax.rsqrt: (jax.lax.rsqrt, {}),
        autograd.scipy.special.gammaln: (jax.scipy.special.gammaln, {}), autograd.nn.one_hot: None,
        autograd.scipy.stats.norm.logpdf: (jax.scipy.stats.norm.logpdf, {"scale": 2.0}),
        autograd.linalg.norm: (jnp.linalg.norm, {"ord": 3}),
    }  # fmt: skip
    for fn, case in cases.items():
        if case is None:
            continue
        plain, options = case
        shifted = x * x + 1
        x.zero_grad()
        y = fn(shifted, **options)
        np.testing.assert_allclose(y.numpy(force=True), plain(V * V + 1, **options), rtol=1e-4)
        y.sum().backward()
        want = jax.grad(lambda v, plain=plain, options=options: plain(v * v + 1, **options).sum())(V)
        np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-3, atol=1e-5)
    assert autograd.nn.one_hot(autograd.tensor([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert autograd.fft.fft(autograd.tensor(V)).dtype == np.complex64
    values, vectors = autograd.linalg.eigh(autograd.tensor(X @ X.T))
    np.testing.assert_allclose((vectors * values) @ vectors.T, X @ X.T, atol=1e-5)
    with pytest.raises(AttributeError, match="no_such"):
        getattr(autograd.numpy, "no_such")  # noqa: B009
    with pytest.raises(AttributeError, match="no_such"):
        getattr(autograd, "no_such")  # noqa: B009
    assert "sin" in dir(autograd.numpy)
    assert autograd.numpy.pi == np.pi
    assert autograd.numpy.float32 is jnp.float32


def test_random():
    key = jax.random.key(0)
    a, b = autograd.random.split(key)
    assert a.shape == ()
    x = autograd.random.normal(a, (3,))
    np.testing.assert_allclose(x.numpy(), jax.random.normal(jax.random.split(key)[0], (3,)))
    rate = autograd.tensor(2.0, requires_grad=True)
    (autograd.random.normal(b, (3,)) * rate).sum().backward()
    assert rate.grad is not None


def test_control_flow_of_lax():
    x = autograd.tensor(V, requires_grad=True)
    total, all_ = autograd.lax.scan(lambda c, v: (c * v + 1, c), autograd.tensor(1.0), x)
    assert all_.shape == (3,)
    total.backward()

    def f(x):
        return jax.lax.scan(lambda c, v: (c * v + 1, c), 1.0, x)[0]

    np.testing.assert_allclose(x.grad.numpy(), jax.grad(f)(V), rtol=1e-5)
    assert autograd.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x[1]).shape == ()
    assert autograd.lax.fori_loop(0, 3, lambda i, v: v * 2, x).tolist() == pytest.approx((8 * V).tolist())


def test_lift_with_pytrees_statics_and_weak_types():
    @autograd.lift
    def layer(p, x, *, activation="tanh", scale=1.0):
        h = p["w"] @ x + p["b"]
        return {"h": (jnp.tanh(h) if activation == "tanh" else h) * scale, "n": jnp.argmax(h)}

    p = {"w": autograd.Parameter(X), "b": autograd.Parameter(V)}
    out = layer(p, V, scale=2.0)
    assert out["n"].dtype == np.int32
    assert not out["n"].requires_grad
    out["h"].sum().backward()
    want = jax.grad(lambda w: (2 * jnp.tanh(w @ V + V)).sum())(X)
    np.testing.assert_allclose(p["w"].grad.numpy(), want, rtol=1e-5)
    assert layer(p, V, activation="none")["h"].tolist() == pytest.approx((X @ V + V).tolist(), rel=1e-5)

    half = autograd.tensor(V, dtype=jnp.bfloat16)
    assert (half * 2.5).dtype == jnp.bfloat16
    assert autograd.numpy.maximum(half, 0.0).dtype == jnp.bfloat16
    assert (autograd.tensor([1, 2]) * 2).dtype == np.int32
    assert (autograd.tensor([1, 2]) * 2.0).dtype == np.float32
    assert (autograd.tensor([1, 2]) / 2).dtype == np.float32
    with pytest.raises(TypeError):
        autograd.lift(3)


def test_plain_functions_pass_through_on_tracers():
    assert jax.jit(lambda x: autograd.numpy.sin(x))(V).shape == (3,)


def test_custom_vjp_passes_through():
    @jax.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, None), lambda _, g: (g * 100,))
    x = autograd.tensor(V, requires_grad=True)
    autograd.lift(f)(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 100)


def test_fresh_lambdas_are_one_operation():
    x = autograd.tensor(V, requires_grad=True)
    for i in range(4):
        if i == 3:
            before = autograd.cache_info()
        autograd.lift(lambda v: jnp.sin(v) * 2)(x).sum().backward()
    after = autograd.cache_info()
    assert (after.compilations, after.inferences) == (before.compilations, before.inferences)
    for scale in (1.0, 3.0):  # what it closes over belongs to its key
        x.zero_grad()
        autograd.lift(lambda v: v * scale)(x).sum().backward()  # noqa: B023
        np.testing.assert_allclose(x.grad.numpy(), scale)


def test_flax_module():
    linen = pytest.importorskip("flax.linen")
    module = linen.Dense(2)
    params = module.init(jax.random.key(0), V)
    p = autograd.parameters(params)
    (autograd.lift(module.apply)(p, V) ** 2).sum().backward()
    want = jax.grad(lambda p: (module.apply(p, V) ** 2).sum())(params)
    got = autograd.grads(p)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want)


def test_equinox_module():
    eqx = pytest.importorskip("equinox")
    module = eqx.nn.MLP(3, 1, 4, 1, key=jax.random.key(0))
    p = autograd.parameters(module)
    call = autograd.lift(lambda m, x: m(x))
    for _ in range(2):
        autograd.zero_grad(p)
        (call(p, V) ** 2).sum().backward()
    want = eqx.filter_grad(lambda m: (m(V) ** 2).sum())(module)
    np.testing.assert_allclose(p.layers[0].weight.grad.numpy(), want.layers[0].weight, rtol=1e-4, atol=1e-6)


def test_numpy_functions_stay_on_the_tape():
    x = autograd.tensor(V, requires_grad=True)
    y = np.sin(x) + np.concatenate([x, x])[:3] + np.float32(2) * x + V * x + np.sum(x) + np.add.reduce(x)
    assert isinstance(y, autograd.Tensor)
    assert y.requires_grad
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(V) + 1 + 2 + V + 6, rtol=1e-5)
    assert np.linalg.norm(x).requires_grad
    assert np.where(x > 0, x, 0).requires_grad
    assert np.stack([x, x]).shape == (2, 3)
    assert np.mean(x, axis=0).requires_grad
    z = x * 1
    np.multiply(z, 2, out=z)
    np.testing.assert_allclose(z.numpy(force=True), 2 * V)
    assert np.shape(x) == (3,)
    assert (jnp.asarray(V) * x).requires_grad
    assert (jnp.asarray(X) @ x).requires_grad
    assert (jnp.asarray(V) < x).dtype == bool


def test_array_namespace():
    x = autograd.tensor(V, requires_grad=True)
    xp = x.__array_namespace__()
    assert xp.sum(xp.exp(x)).requires_grad
    assert xp.asarray([1.0]).shape == (1,)


# From Python 3.13 on C says of each exception in a question for an attribute that it was ignored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_required_gradient_is_never_dropped_silently():
    x = autograd.tensor(V, requires_grad=True)
    with pytest.raises(autograd.LostTapeError, match="detach"):
        np.asarray(x)
    with pytest.raises(autograd.LostTapeError, match="detach"):
        (x * 2).numpy()
    np.testing.assert_array_equal(np.asarray(x.detach()), V)
    np.testing.assert_array_equal(np.asarray(autograd.tensor(V)), V)
    for fn in (jnp.sin, jnp.asarray, lambda t: jnp.dot(t, t), lambda t: jnp.concatenate([t, t]), jax.jit(lambda a: a),
               lambda t: jnp.where(True, t, t), lambda t: jnp.stack([t]), lambda t: jnp.array([t, t])):  # fmt: skip
        with pytest.raises(autograd.LostTapeError, match=r"autograd\.numpy"):
            fn(x)
    for fn in (jax.nn.relu, jax.lax.sin):
        with pytest.raises(TypeError, match=r"autograd\.numpy"):
            fn(x)


def test_shapes_that_depend_on_values():
    x = autograd.tensor([1.0, 0.0, 2.0, 1.0], requires_grad=True)
    assert autograd.numpy.nonzero(x)[0].tolist() == [0, 2, 3]
    with pytest.raises(autograd.NoGradientError, match="detach"):
        autograd.numpy.unique(x)
    assert autograd.numpy.unique(x.detach()).tolist() == [0, 1, 2]


def test_methods():
    x = autograd.tensor(X, requires_grad=True)
    assert x.T.shape == x.mT.shape == x.t().shape == (3, 3)
    assert x.sum(axis=0).shape == x.mean(0, keepdims=True)[0].shape == (3,)
    assert x.reshape(9).shape == x.reshape(-1).shape == x.view((9,)).shape == x.flatten().shape == (9,)
    assert x.unsqueeze(0).squeeze(0).shape == x.permute(1, 0).shape == (3, 3)
    assert x.expand(2, -1, 3).shape == (2, 3, 3)
    assert x.max().item() == pytest.approx(X.max())
    assert x.argmax(axis=1).tolist() == X.argmax(1).tolist()
    assert x.astype(jnp.float16).dtype == np.float16
    assert divmod(x, 2)[0].shape == (3, 3)
    zero = autograd.tensor([0.0, 0.0], requires_grad=True)
    zero.norm().backward()
    assert zero.grad.tolist() == [0, 0]
    assert x.norm(ord=1).shape == x.norm(axis=1)[0].shape == ()
    assert (2**x).shape == (x ** x.detach().abs()).shape == (3, 3)


def test_norms_take_their_arguments_where_torch_has_them():
    x = autograd.tensor(X)
    for given, wanted in (
        (autograd.linalg.vector_norm(x, 1), np.abs(X).sum()),
        (autograd.linalg.vector_norm(x, 1, 1), np.abs(X).sum(1)),
        (autograd.linalg.vector_norm(x, 2, 0, True), np.sqrt((X**2).sum(0, keepdims=True))),
        (autograd.linalg.matrix_norm(x, "nuc"), np.linalg.norm(X, "nuc")),
        (autograd.linalg.matrix_norm(x, "fro", (0, 1), True), [[np.linalg.norm(X)]]),
    ):
        np.testing.assert_allclose(given.numpy(), wanted, rtol=1e-5)
