# %% [markdown]
# # A tour of nablax.autograd
# Define-by-run differentiation at compiled speed. Run it as a script, or cell by cell in an editor.

# %%
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from nablax import autograd


def show(title, *things):
    print(f"{title:<44}", *things)


# %% [markdown]
# ## A gradient
# Attach a gradient to a variable, compute, call `backward()`, read `.grad`.

# %%
x = autograd.tensor([0.0, 1.0, 2.0, 3.0], requires_grad=True)
y = 2 * autograd.dot(x, x)
y.backward()
show("gradient of 2 x.x, which is 4 x:", x.grad.tolist())
assert x.grad.tolist() == (4 * x).tolist()

x.zero_grad()
x.sum().backward()
x.sum().backward()
show("gradients accumulate:", x.grad.tolist())

# %% [markdown]
# ## More than one number
# A gradient belongs to one number. The error shows both ways out.

# %%
x.zero_grad()
try:
    (x * x).backward()
except autograd.NonScalarError as error:
    show("y.backward() of a vector:", str(error)[:90], "...")
(x * x).backward(autograd.tensor([1.0, 0.0, 0.0, 1.0]))
show("with a cotangent:", x.grad.tolist())
show("the full matrix:", autograd.jacobian(x * x, x).tolist())

# %% [markdown]
# ## detach, no_grad

# %%
x.zero_grad()
y = x * x
u = y.detach()
(u * x).sum().backward()
show("u is a constant, so d(u x)/dx = u:", x.grad.tolist() == u.tolist())
x.zero_grad()
y.sum().backward()
show("the graph of y is still there:", x.grad.tolist())
with autograd.no_grad():
    show("requires_grad under no_grad:", (x * 2).requires_grad)

# %% [markdown]
# ## Python control flow
# Operations are only recorded. The comparison needs a value: there the recording ends, and one compiled program runs
# it. The next turn of the loop has the same structure, so it runs the same program.


# %%
def f(a):
    b = a * 2
    while b.norm() < 1000:
        b = b * 2
    return b if b.sum() > 0 else 100 * b


before = autograd.cache_info()
for value in (0.3, -1.7, 0.01, 2.5, -0.2):
    a = autograd.tensor(value, requires_grad=True)
    d = f(a)
    d.backward()
    assert np.isclose(a.grad.item(), (d / a).item())
after = autograd.cache_info()
show(
    "segments run, programs compiled:",
    after.segments - before.segments,
    after.compilations - before.compilations,
)

# %% [markdown]
# ## What was recorded

# %%
w = autograd.tensor([1.0, 2.0], requires_grad=True, name="w")
h = (w * w).realize()
print(autograd.graph((h + 1).sum()))

# %% [markdown]
# ## Errors that teach

# %%
y = (w * w).sum()
y.backward()
for wrong in (
    lambda: y.backward(),
    lambda: w + autograd.tensor([1.0, 2.0, 3.0]),
    lambda: jnp.sin(w),
    lambda: np.asarray(w),
    lambda: w.add_(1),
):
    try:
        wrong()
    except autograd.AutogradError as error:
        show(type(error).__name__ + ":", str(error)[:110], "...")
try:
    with autograd.detect_anomaly():
        (w - 5).log()
except autograd.AnomalyError as error:
    show("AnomalyError:", str(error)[:60], "...")

# %% [markdown]
# ## Second derivatives

# %%
x = autograd.tensor([1.0, 2.0], requires_grad=True)
g = autograd.grad((x**3).sum(), x, create_graph=True)
(g**2).sum().backward()
show("gradient of |3 x^2|^2, which is 36 x^3:", x.grad.tolist())
show("hessian of sum x^3:", autograd.hessian(lambda x: (x**3).sum(), x).tolist())
show(
    "hessian times a vector:",
    autograd.hvp(lambda x: (x**3).sum(), x, autograd.tensor([1.0, 1.0]))[1].tolist(),
)
show("forward mode:", autograd.jvp(lambda x: x**3, x, autograd.tensor([1.0, 0.0]))[1].tolist())
with jax.enable_x64(True):
    point = autograd.tensor(np.array([0.3, 0.7]), requires_grad=True)
    show("gradcheck, gradgradcheck:", autograd.gradcheck(lambda x: x.sin() * x, point),
         autograd.gradgradcheck(lambda x: x.sin() * x, point))  # fmt: skip

# %% [markdown]
# ## In place, hooks, retain_grad

# %%
x = autograd.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
y[0] = 10.0
y += x
y.retain_grad()
x.register_hook(lambda g: g.clip(-5, 5))
(y * y).sum().backward()
show("gradient at y, and clipped at x:", y.grad.tolist(), x.grad.tolist())

# %% [markdown]
# ## All of JAX, and NumPy's own functions

# %%
x = autograd.tensor(np.linspace(-1, 1, 4), requires_grad=True)
show("autograd.nn, .lax, .scipy, .linalg:", autograd.nn.softmax(x).shape, autograd.lax.rsqrt(x * x + 1).shape,
     autograd.scipy.special.logsumexp(x).item(), autograd.linalg.norm(x).item())  # fmt: skip
show("np.sin(x) stays on the tape:", np.sin(x).requires_grad)
softplus = autograd.lift(lambda p, x: p["scale"] * jnp.log1p(jnp.exp(x)))
p = {"scale": autograd.Parameter(2.0)}
softplus(p, x).sum().backward()
show("any JAX function, with pytrees:", p["scale"].grad.item())

# %% [markdown]
# ## Training
# With `lazy=True` the backward stays recorded, and `update` joins it: forward, backward and step are one program.

# %%
rng = np.random.default_rng(0)
data = rng.uniform(-1, 1, (256, 2)).astype(np.float32)
labels = (np.sin(3 * data[:, 0]) * data[:, 1])[:, None]
params = [
    autograd.Parameter(a)
    for a in (rng.standard_normal((2, 32)), np.zeros(32), rng.standard_normal((32, 1)) * 0.2, np.zeros(1))
]


def predict(p, inputs):
    return (inputs @ p[0] + p[1]).tanh() @ p[2] + p[3]


def sgd(values, grads, momentum):
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
    return jax.tree.map(lambda v, m: v - 0.05 * m, values, momentum), momentum


momentum = [np.zeros(q.shape, np.float32) for q in params]
losses = []
for _ in range(300):
    loss = ((predict(params, data) - labels) ** 2).mean()
    loss.backward(lazy=True)
    momentum = autograd.update(sgd, params, momentum)
    losses.append(loss.item())  # a number: keeps no graph, as `total += loss` would
show("loss, first and last:", f"{losses[0]:.4f} {losses[-1]:.4f}")
assert losses[-1] < 0.2 * losses[0]

# %% [markdown]
# ## The way back to pure JAX
# The same function, debugged eagerly, shipped compiled.

# %%
pure = autograd.functional(predict)
values = autograd.values(params)
compiled = jax.jit(pure)
show(
    "jit of it agrees:", bool(np.allclose(compiled(values, data), predict(params, data).detach(), atol=1e-5))
)
show("vmap of its gradient:", jax.vmap(jax.grad(lambda d: pure(values, d).sum()))(data[:5]).shape)
print(autograd.cache_info())
