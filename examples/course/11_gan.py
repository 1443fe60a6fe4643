"""Chapter 11: two networks against each other (Goodfellow et al. 2014, arXiv:1406.2661), on a ring in the plane.

python examples/course/11_gan.py [--short]
"""

from course_data import ring, short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
BATCH, NOISE, WIDTH = 128, 4, 48


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, outputs),
    )  # fmt: skip


generator, judge = mlp(NOISE, 2), mlp(2, 1)
rule = nablax.adam(1e-3, b1=0.5)
opt_g = nablax.Optimizer(rule, list(generator.parameters()))
opt_j = nablax.Optimizer(rule, list(judge.parameters()))
real_label, fake_label = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)


def made(n):
    return generator(torch.randn(n, NOISE))


def radius(points):
    """Mean and spread of the distance from the middle."""
    r = points.norm(dim=1)
    return r.mean().item(), r.std().item()


with torch.no_grad():
    print("before: radius {:.2f} +- {:.2f}; wanted 2.00 +- 0.05".format(*radius(made(1000))))
for step in range(short(500, 60)):
    # The judge learns to tell them apart; the generator's part of the graph is cut off.
    fake = made(BATCH).detach()
    loss_j = F.binary_cross_entropy_with_logits(judge(ring(BATCH)), real_label)
    loss_j = loss_j + F.binary_cross_entropy_with_logits(judge(fake), fake_label)
    opt_j.zero_grad()
    loss_j.backward()
    opt_j.step()

    # The generator learns to be taken for real.
    loss_g = F.binary_cross_entropy_with_logits(judge(made(BATCH)), real_label)
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    if step % 100 == 0:
        print(f"step {step:4d}  judge {loss_j.item():.3f}  generator {loss_g.item():.3f}")

with torch.no_grad():
    points = made(1000)
mean, spread = radius(points)
quarters = torch.bincount((torch.atan2(points[:, 1], points[:, 0]) / (torch.pi / 2) + 2).long().clamp(0, 3))
print("points in each quarter of the plane:", quarters.tolist())
print(f"radius {mean:.2f} +- {spread:.2f}; off by {abs(mean - 2):.2f}")
