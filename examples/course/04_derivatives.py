"""Chapter 4: derivatives of derivatives, and of one's own making.

    python examples/course/04_derivatives.py [--short]

A function with a backward of its own, which is checked; Newton's method with the Hessian; a network that solves a
differential equation, whose loss holds the network's derivative.
"""

import math

from course_data import short

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)


class Swish(torch.Function):
    """x sigmoid(x), saving x alone (Ramachandran et al. 2017, arXiv:1710.05941)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return g * (s + x * s * (1 - s))


x = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
print("backward agrees with differences:", Swish.check(x, low_precision=True, eps=1e-2, atol=1e-2, rtol=1e-2))
(slope,) = torch.grad(Swish.apply(x).sum(), [x], create_graph=True)
(curve,) = torch.grad(slope.sum(), [x])
print("second derivative of swish:", [round(v, 4) for v in curve.tolist()])


# Newton's method on Rosenbrock's valley: x - H^-1 g.
def valley(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


p = torch.tensor([-1.2, 1.0], requires_grad=True)
for step in range(8):
    (g,) = torch.grad(valley(p), [p])
    h = torch.hessian(valley, p.detach())
    with torch.no_grad():
        p -= torch.linalg.solve(h, g)
    print(f"Newton, step {step}: at {p[0].item():.4f}, {p[1].item():.4f}")


# u'(t) = -2 t u(t), u(0) = 1, whose solution is exp(-t^2); u(t) = 1 + t * network(t) holds the start by itself.
net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
opt = nablax.Optimizer(nablax.adam(1e-2), list(net.parameters()))
t = torch.linspace(0, 1.5, 40).unsqueeze(1).requires_grad_()
for _ in range(short(600, 100)):
    u = 1 + t * net(t)
    (du,) = torch.grad(u.sum(), [t], create_graph=True)
    loss = ((du + 2 * t * u) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
with torch.no_grad():
    worst = (1 + t * net(t) - (-(t**2)).exp()).abs().max()
print(f"the equation's solution, u(1) = {(1 + net(torch.ones(1, 1))).item():.4f}, exact {math.exp(-1):.4f}")
print(f"largest error of the solution: {worst:.4f}")
