"""Chapter 13: learning to learn. Weights from which one step of gradient descent suffices for a new sine wave
(Finn et al. 2017, arXiv:1703.03400): the gradient of a loss after a step of gradient descent.

    python examples/course/13_maml.py [--short]
"""

import math

from course_data import short

import nablax
from nablax import autograd as torch

torch.manual_seed(0)
WIDTH, TASKS, POINTS, INNER = 32, 4, 10, 0.02


def weights():
    made = []
    for i, o in ((1, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)):
        made += [(torch.randn(i, o) / math.sqrt(i)).requires_grad_(), torch.zeros(o, requires_grad=True)]
    return made


def network(params, x):
    w1, b1, w2, b2, w3, b3 = params
    return ((x @ w1 + b1).tanh() @ w2 + b2).tanh() @ w3 + b3


def task():
    """A sine wave with an amplitude and a phase of its own: points to learn from, and to be judged by."""
    height, phase = 0.5 + 2 * torch.rand(1), math.pi * torch.rand(1)
    x = 10 * torch.rand(2, POINTS, 1) - 5
    y = height * (x + phase).sin()
    return x[0], y[0], x[1], y[1]


def adapted(params, x, y, create_graph=False):
    """The weights after one step on a task."""
    loss = ((network(params, x) - y) ** 2).mean()
    slopes = torch.grad(loss, params, create_graph=create_graph)
    return [p - INNER * g for p, g in zip(params, slopes, strict=True)]


def judged(params, tasks):
    """Mean loss on new points of some tasks, before and after one step."""
    before = after = 0.0
    for x, y, new_x, new_y in tasks:
        before += ((network(params, new_x) - new_y) ** 2).mean().item() / len(tasks)
        moved = adapted(params, x, y)
        after += ((network(moved, new_x) - new_y) ** 2).mean().item() / len(tasks)
    return before, after


params = weights()
tests = [task() for _ in range(short(20, 5))]
print("before learning to learn: loss {:.2f}, after one step {:.2f}".format(*judged(params, tests)))
opt = nablax.Optimizer(nablax.adam(3e-3), params)
for step in range(short(200, 15)):
    opt.zero_grad()
    total = 0.0
    for _ in range(TASKS):
        x, y, new_x, new_y = task()
        moved = adapted(params, x, y, create_graph=True)
        loss = ((network(moved, new_x) - new_y) ** 2).mean() / TASKS
        loss.backward()  # through the step
        total += loss.item()
    opt.step()
    if step % 50 == 0:
        print(f"step {step:3d}  loss after one step {total:.2f}")
before, after = judged(params, tests)
print(f"loss {before:.2f}, after one step {after:.2f}")
print(f"one step leaves {after / before:.2f} of the loss")
