"""Operations with a torch twin, against torch: float64, values, first and second gradients."""

import jax
import numpy as np
import pytest

from nablax import autograd

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
A, B = RNG.uniform(0.2, 0.9, (2, 3)), RNG.uniform(0.3, 0.8, (2, 3))
M = RNG.standard_normal((3, 2))
S = np.eye(3) * 3 + RNG.standard_normal((3, 3)) * 0.1
np_, nn = autograd.numpy, autograd.nn

SAME = {  # one expression that both take
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - 2 * b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "square": lambda a, b: a**2 + 2**b,
    "negative": lambda a, b: -a * b, "abs": lambda a, b: abs(a - 0.5) * b, "mod": lambda a, b: (a * 3) % b * a,
    "scalar": lambda a, b: 1 / a + 3 - 2 * b, "exp": lambda a, b: (a * b).exp(), "log": lambda a, b: a.log() * b,
    "log1p": lambda a, b: (a * b).log1p(), "expm1": lambda a, b: (a * b).expm1(), "sqrt": lambda a, b: a.sqrt() * b,
    "rsqrt": lambda a, b: (a * b).rsqrt(), "reciprocal": lambda a, b: a.reciprocal() * b,
    "sin": lambda a, b: (a * b).sin(),
    "cos": lambda a, b: (a * b).cos(), "tan": lambda a, b: (a * b).tan(), "asin": lambda a, b: (a * b).asin(),
    "acos": lambda a, b: (a * b).acos(), "atan": lambda a, b: (a * b).atan(), "sinh": lambda a, b: (a * b).sinh(),
    "cosh": lambda a, b: (a * b).cosh(), "tanh": lambda a, b: (a * b).tanh(), "asinh": lambda a, b: (a * b).asinh(),
    "acosh": lambda a, b: (a * b + 1).acosh(), "atanh": lambda a, b: (a * b).atanh(), "erf": lambda a, b: (a * b).erf(),
    "sigmoid": lambda a, b: (a * b).sigmoid(), "relu": lambda a, b: (a - b).relu() * a,
    "sum": lambda a, b: (a * b).sum(),
    "mean": lambda a, b: (a * a * b).mean(), "prod": lambda a, b: (a * b).prod(),
    "max": lambda a, b: (a * b).max() ** 2,
    "min": lambda a, b: (a * b).min() ** 2, "matmul": lambda a, b: (a @ b.T) @ a,
    "transpose": lambda a, b: (a.T @ b) ** 2,
    "reshape": lambda a, b: (a * b).reshape(3, 2) ** 2, "row": lambda a, b: a[0] * b[1],
    "slice": lambda a, b: a[:, 1:] * b[:, :-1],
    "gather": lambda a, b: (a * b)[:, [2, 0, 0]] ** 2, "mask": lambda a, b: (a * b)[a > b] ** 2,
    "flatten": lambda a, b: (a * b).flatten() ** 2, "squeeze": lambda a, b: (a * b).unsqueeze(0).squeeze() ** 2,
    "permute": lambda a, b: (a * b).permute(1, 0) ** 2, "clamp": lambda a, b: (a * b).clamp(0.2, 0.5) * a,
    "norm": lambda a, b: (a * b).norm(), "detach": lambda a, b: (a * b).detach() * a * a,
    "maximum": lambda a, b: a.maximum(b) ** 2,
    "minimum": lambda a, b: a.minimum(b) ** 2, "exp2": lambda a, b: (a * b).exp2(), "log2": lambda a, b: (a * b).log2(),
    "log10": lambda a, b: (a * b).log10(), "trace": lambda a, b: (a @ b.T).trace() ** 2,
    "diagonal": lambda a, b: (a @ b.T).diagonal() ** 2,
    "expand": lambda a, b: (a[0] * b[0]).expand(4, 3) ** 2, "swapaxes": lambda a, b: (a * b).swapaxes(0, 1) ** 2,
    "clone": lambda a, b: a.clone() * a * b, "dim": lambda a, b: (a * b).sum(dim=1, keepdim=True) * a,
    "mean_dim": lambda a, b: (a * b).mean(dim=0) ** 2, "prod_dim": lambda a, b: (a * b).prod(dim=1),
    "named": lambda a, b: a.add(b).mul(a).sub(b).div(b), "atan2_method": lambda a, b: a.atan2(b),
    "flip_method": lambda a, b: (a * b).flip(1) * a, "roll_method": lambda a, b: (a * b).roll(1, 1) * a,
    "tril_method": lambda a, b: (a.T @ b).tril() ** 2, "diag": lambda a, b: (a.T @ b).diag() ** 2,
    "diff": lambda a, b: (a * b).diff() ** 2, "inner": lambda a, b: a.inner(b) ** 2, "kron": lambda a, b: a.kron(b) * 2,
    "mv": lambda a, b: (a.T @ b).mv(a[0]), "bmm": lambda a, b: a[None].bmm(b.T[None]) ** 2,
    "movedim": lambda a, b: (a * b).movedim(0, 1) ** 2, "nan_to_num": lambda a, b: (a * b).nan_to_num() ** 2,
    "quantile": lambda a, b: (a * b).quantile(0.3) ** 2, "nansum": lambda a, b: (a * b).nansum() ** 2,
    "masked_fill": lambda a, b: (a * b).masked_fill(a > b, 0.5) ** 2, "select": lambda a, b: a.where(a > b, b * b) ** 2,
    "split": lambda a, b: (a * b).split(2, 1)[0] * a.split([1, 2], 1)[1], "chunk": lambda a, b: a.chunk(2)[1] * b,
    "unbind": lambda a, b: a.unbind(1)[2] * b.unbind(1)[0], "topk": lambda a, b: (a * b).topk(2)[0] ** 2,
    "view_as": lambda a, b: (a * b).view_as(a.T) ** 2, "expand_as": lambda a, b: a[0].expand_as(b) * b,
    "norm_1": lambda a, b: (a - b).norm(1, 0), "cumsum_dim": lambda a, b: (a * b).cumsum(dim=0) ** 2,
    "logical": lambda a, b: a * ((a > 0.5).logical_and(b > 0.4)).double(), "round": lambda a, b: (a * 3).round() * b,
}  # fmt: skip

TWINS = {  # ours, torch's
    "softmax": (lambda a, b: nn.softmax(a * b, axis=-1), lambda a, b: torch.softmax(a * b, -1)),
    "log_softmax": (lambda a, b: nn.log_softmax(a * b), lambda a, b: torch.log_softmax(a * b, -1)),
    "logsumexp": (lambda a, b: (a * b).logsumexp(), lambda a, b: torch.logsumexp((a * b).flatten(), 0)),
    "softplus": (lambda a, b: nn.softplus(a * b), lambda a, b: torch.nn.functional.softplus(a * b)),
    "gelu": (lambda a, b: nn.gelu(a * b, approximate=False), lambda a, b: torch.nn.functional.gelu(a * b)),
    "silu": (lambda a, b: nn.silu(a * b), lambda a, b: torch.nn.functional.silu(a * b)),
    "elu": (lambda a, b: nn.elu(a - b), lambda a, b: torch.nn.functional.elu(a - b)),
    "std": (lambda a, b: (a * b).std(ddof=1), lambda a, b: (a * b).std()),
    "var": (lambda a, b: (a * b).var(axis=1), lambda a, b: (a * b).var(1, unbiased=False)),
    "cumsum": (lambda a, b: (a * b).cumsum(axis=1) ** 2, lambda a, b: (a * b).cumsum(1) ** 2),
    "cumprod": (lambda a, b: (a * b).cumprod(axis=1), lambda a, b: (a * b).cumprod(1)),
    "where": (lambda a, b: np_.where(a > b, a * a, b * a), lambda a, b: torch.where(a > b, a * a, b * a)),
    "concatenate": (lambda a, b: np_.concatenate([a, b * a], 1) ** 2, lambda a, b: torch.cat([a, b * a], 1) ** 2),
    "stack": (lambda a, b: np_.stack([a, b]) ** 2, lambda a, b: torch.stack([a, b]) ** 2),
    "einsum": (lambda a, b: np_.einsum("ij,ij->i", a, b) ** 2, lambda a, b: torch.einsum("ij,ij->i", a, b) ** 2),
    "outer": (lambda a, b: np_.outer(a[0], b[0]) ** 2, lambda a, b: torch.outer(a[0], b[0]) ** 2),
    "dot": (lambda a, b: np_.dot(a[0], b[0]) ** 2, lambda a, b: torch.dot(a[0], b[0]) ** 2),
    "atan2": (lambda a, b: np_.arctan2(a, b), lambda a, b: torch.atan2(a, b)),
    "lgamma": (lambda a, b: autograd.scipy.special.gammaln(a + b), lambda a, b: torch.lgamma(a + b)),
    "sort": (lambda a, b: np_.sort(a * b, axis=1)[:, 1:] ** 2, lambda a, b: torch.sort(a * b, 1)[0][:, 1:] ** 2),
    "inverse": (lambda a, b: autograd.linalg.inv(S + a.T @ b), lambda a,
    b: torch.linalg.inv(torch.tensor(S) + a.T @ b)),
    "determinant": (lambda a, b: autograd.linalg.det(S + a.T @ b), lambda a,
    b: torch.linalg.det(torch.tensor(S) + a.T @ b)),
    "cholesky": (lambda a, b: autograd.linalg.cholesky(S.T @ S + a.T @ a), lambda a,
    b: torch.linalg.cholesky(torch.tensor(S.T @ S) + a.T @ a)),
    "solve": (lambda a, b: autograd.linalg.solve(S + a.T @ b, M), lambda a,
    b: torch.linalg.solve(torch.tensor(S) + a.T @ b, torch.tensor(M))),
    "flip": (lambda a, b: np_.flip(a * b, 1) * a, lambda a, b: torch.flip(a * b, (1,)) * a),
    "roll": (lambda a, b: np_.roll(a * b, 1, 1) * a, lambda a, b: torch.roll(a * b, 1, 1) * a),
    "logaddexp": (np_.logaddexp, lambda a, b: torch.logaddexp(a, b)),
    "hypot": (np_.hypot, lambda a, b: torch.hypot(a, b)),
    "tril": (lambda a, b: np_.tril(a.T @ b) ** 2, lambda a, b: torch.tril(a.T @ b) ** 2),
}  # fmt: skip

K = RNG.standard_normal((2, 2, 2, 2))


def image(a, b):
    """A picture of 3 x 3 with two channels."""
    return (a.T @ b).reshape(1, 1, 3, 3) * b[0].reshape(1, 3, 1, 1)[:, :2]


F, L, T = torch.nn.functional, torch.linalg, torch.tensor
INDEX = np.array([[0, 2], [1, 1]])
special = autograd.scipy.special
TWINS |= {
    "convolution": (lambda a, b: autograd.lax.conv(image(a, b), K, (1, 1), "VALID"),
                    lambda a, b: F.conv2d(image(a, b), T(K))),
    "max_pool": (lambda a, b: autograd.lax.reduce_window(image(a, b), -np.inf, jax.lax.max, (1, 1, 2, 2),
                                                         (1, 1, 1, 1), "VALID") ** 2,
                 lambda a, b: F.max_pool2d(image(a, b), 2, 1) ** 2),
    "cross_entropy": (lambda a, b: -nn.log_softmax(a * b)[np.arange(2), np.array([2, 0])].mean(),
                      lambda a, b: F.cross_entropy(a * b, T([2, 0]))),
    "embedding": (lambda a, b: a.T[np.array([2, 0, 2])] * b.T[0], lambda a, b: F.embedding(T([2, 0, 2]), a.T) * b.T[0]),
    "gather_along": (lambda a, b: (a * b).gather(1, INDEX) ** 2, lambda a, b: (a * b).gather(1, T(INDEX)) ** 2),
    "index_select": (lambda a, b: (a * b).index_select(1, np.array([2, 2])) ** 2,
                     lambda a, b: (a * b).index_select(1, T([2, 2])) ** 2),
    "index_add": (lambda a, b: a.at[:, np.array([0, 0])].add(b[:, :2]) ** 2,
                  lambda a, b: a.index_add(1, T([0, 0]), b[:, :2]) ** 2),
    "amax": (lambda a, b: (a * b).max(axis=1) ** 2, lambda a, b: (a * b).amax(1) ** 2),
    "logsumexp_dim": (lambda a, b: (a * b).logsumexp(1), lambda a, b: torch.logsumexp(a * b, 1)),
    "log_sigmoid": (lambda a, b: nn.log_sigmoid(a - b), lambda a, b: F.logsigmoid(a - b)),
    "leaky_relu": (lambda a, b: nn.leaky_relu(a - b) * a, lambda a, b: F.leaky_relu(a - b) * a),
    "celu": (lambda a, b: nn.celu(a - b), lambda a, b: F.celu(a - b)),
    "selu": (lambda a, b: nn.selu(a - b), lambda a, b: F.selu(a - b)),
    "softsign": (lambda a, b: nn.soft_sign(a - b), lambda a, b: F.softsign(a - b)),
    "hardtanh": (lambda a, b: nn.hard_tanh(a * b * 3) * a, lambda a, b: F.hardtanh(a * b * 3) * a),
    "relu6": (lambda a, b: nn.relu6(a * b * 9) * a, lambda a, b: F.relu6(a * b * 9) * a),
    "glu": (lambda a, b: nn.glu(a.T * b.T[:, :1]), lambda a, b: F.glu(a.T * b.T[:, :1])),
    "digamma": (lambda a, b: special.digamma(a + b), lambda a, b: torch.digamma(a + b)),
    "erfc": (lambda a, b: special.erfc(a * b), lambda a, b: torch.erfc(a * b)),
    "erfinv": (lambda a, b: special.erfinv(a * b), lambda a, b: torch.erfinv(a * b)),
    "logit": (lambda a, b: special.logit(a * b), lambda a, b: torch.logit(a * b)),
    "xlogy": (special.xlogy, torch.xlogy),
    "i0": (lambda a, b: special.i0(a * b), lambda a, b: torch.special.i0(a * b)),
    "slogdet": (lambda a, b: autograd.linalg.slogdet(S + a.T @ b)[1], lambda a, b: L.slogdet(T(S) + a.T @ b)[1]),
    "eigvalsh": (lambda a, b: autograd.linalg.eigvalsh(S.T @ S + a.T @ a) ** 2,
                 lambda a, b: L.eigvalsh(T(S.T @ S) + a.T @ a) ** 2),
    "singular": (lambda a, b: autograd.linalg.svd(a - b, compute_uv=False) ** 2, lambda a, b: L.svdvals(a - b) ** 2),
    "qr": (lambda a, b: abs(autograd.linalg.qr(S + a.T @ b)[1]), lambda a, b: abs(L.qr(T(S) + a.T @ b)[1])),
    "pinv": (lambda a, b: autograd.linalg.pinv(a - b), lambda a, b: L.pinv(a - b)),
    "matrix_power": (lambda a, b: autograd.linalg.matrix_power(a.T @ b, 3), lambda a, b: L.matrix_power(a.T @ b, 3)),
    "nuclear": (lambda a, b: autograd.linalg.norm(a - b, "nuc"), lambda a, b: L.matrix_norm(a - b, "nuc")),
    "cross": (lambda a, b: a.cross(b) ** 2, lambda a, b: L.cross(a, b) ** 2),
    "spectrum": (lambda a, b: abs(autograd.fft.rfft(a * b)) ** 2, lambda a, b: torch.fft.rfft(a * b).abs() ** 2),
    "cosine_similarity": (lambda a, b: (a * b).sum(1) / (a.norm(None, 1) * b.norm(None, 1)),
                          lambda a, b: F.cosine_similarity(a, b)),
    "huber": (lambda a, b: np_.where(abs(a - b) < 0.2, 0.5 * (a - b) ** 2, 0.2 * (abs(a - b) - 0.1)),
              lambda a, b: F.huber_loss(a, b, reduction="none", delta=0.2)),
    "attention": (lambda a, b: nn.softmax(a @ b.T / 3**0.5) @ a,
                  lambda a, b: F.scaled_dot_product_attention(a[None], b[None], a[None])[0]),
    "scan": (lambda a, b: autograd.lax.cumlogsumexp(a * b, axis=1), lambda a, b: torch.logcumsumexp(a * b, 1)),
}  # fmt: skip

OPERATIONS = {**{name: (f, f) for name, f in SAME.items()}, **TWINS}


def derivatives(fn, a, b, grad):
    """Value, first gradients of sum(w y), and second: gradients of sum(first ** 2)."""
    y = fn(a, b)
    weights = np.cos(np.arange(np.prod(y.shape, dtype=int))).reshape(tuple(y.shape))
    loss = (y * (autograd.tensor(weights) if isinstance(a, autograd.Tensor) else torch.tensor(weights))).sum()
    first = [g for g in grad(loss, [a, b], create_graph=True, allow_unused=True) if g is not None]
    total = sum((g**2).sum() for g in first)
    second = grad(total, [a, b], allow_unused=True) if total.requires_grad else []
    zeros = [
        np.zeros(x.shape) if g is None else g.detach().numpy(force=True)
        for x, g in zip([a, b], second, strict=False)
    ]
    return [y.detach().numpy(), *(g.detach().numpy() for g in first), *zeros]


@pytest.mark.parametrize("name", OPERATIONS)
def test_against_torch(name):
    ours, theirs = OPERATIONS[name]
    with jax.enable_x64(True):
        got = derivatives(ours, *(autograd.tensor(x, requires_grad=True) for x in (A, B)), autograd.grad)
        want = derivatives(
            theirs, *(torch.tensor(x, requires_grad=True) for x in (A, B)), torch.autograd.grad
        )
    got = [g for g in got if np.any(g)]  # torch says None where a derivative is zero, or zeros
    want = [g for g in want if np.any(g)]
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == np.float64
        np.testing.assert_allclose(g, w, rtol=1e-8, atol=1e-10)
