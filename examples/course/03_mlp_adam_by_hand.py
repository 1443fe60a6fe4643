"""Chapter 3: a hidden layer, and Adam by hand (Kingma and Ba 2014, arXiv:1412.6980).

python examples/course/03_mlp_adam_by_hand.py [--short]
"""

import math

from course_data import batches, digits, short
from nablax.autograd.nn import functional as F

from nablax import autograd as torch

torch.manual_seed(0)
images, labels, test_images, test_labels = digits()
x, test_x = images.flatten(1), test_images.flatten(1)


def layer(inputs, outputs):
    """Weights whose variance keeps that of what goes through (He et al. 2015)."""
    weight = math.sqrt(2 / inputs) * torch.randn(inputs, outputs)
    return weight.requires_grad_(), torch.zeros(outputs, requires_grad=True)


(w1, b1), (w2, b2) = layer(64, 50), layer(50, 10)
params = [w1, b1, w2, b2]


def network(x):
    return (x @ w1 + b1).relu() @ w2 + b2


class Adam:
    """m, v: running means of gradients and of their squares; both begin at 0, which is corrected for."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.params, self.lr, self.betas, self.eps, self.t = params, lr, betas, eps, 0
        self.m = [torch.zeros_like(p) for p in params]
        self.v = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self):
        self.t += 1
        one, two = self.betas
        for p, m, v in zip(self.params, self.m, self.v, strict=True):
            m.mul_(one).add_(p.grad, alpha=1 - one)
            v.mul_(two).addcmul_(p.grad, p.grad, value=1 - two)
            m_hat, v_hat = m / (1 - one**self.t), v / (1 - two**self.t)
            p.addcdiv_(m_hat, v_hat.sqrt() + self.eps, value=-self.lr)

    def zero_grad(self):
        for p in self.params:
            p.grad = None


opt = Adam(params, lr=3e-3)
draw = batches(len(x), 100)
for step in range(short(400, 40)):
    at = next(draw)
    loss = F.cross_entropy(network(x[at]), labels[at])
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}")

with torch.no_grad():
    right = (network(test_x).argmax(1) == test_labels).float().mean()
print(f"digits never seen: {right:.1%} right")
