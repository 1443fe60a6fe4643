"""Chapter 1: linear regression from scratch. A loss, its gradient, a step downhill.

python examples/course/01_linear_regression.py [--short]
"""

from course_data import short

from nablax import autograd as torch

torch.manual_seed(0)

# Data from a line that we pretend not to know.
true_w, true_b = torch.tensor([2.0, -3.4, 0.5]), 4.2
x = torch.randn(200, 3)
y = x @ true_w + true_b + 0.1 * torch.randn(200)

w = torch.zeros(3, requires_grad=True)
b = torch.zeros(1, requires_grad=True)

for step in range(short(100, 60)):
    loss = ((x @ w + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        b -= 0.1 * b.grad
        w.grad.zero_()
        b.grad.zero_()
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.item():8.4f}")

# The same from the normal equations: the gradient is 0 there.
ones = torch.ones(200, 1)
both = torch.cat([x, ones], dim=1)
exact = torch.linalg.solve(both.T @ both, both.T @ y)
print("found        ", [round(v, 3) for v in w.tolist()], round(b.item(), 3))
print("exact        ", [round(v, 3) for v in exact.tolist()])
gap = (torch.cat([w, b]) - exact).abs().max()
print(f"largest gap to the exact solution: {gap:.5f}")
