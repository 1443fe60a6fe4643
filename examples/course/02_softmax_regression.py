"""Chapter 2: classes. Softmax and cross entropy written out, on handwritten digits, in batches.

python examples/course/02_softmax_regression.py [--short]
"""

from course_data import batches, digits, short
from nablax.autograd.nn import functional as F

from nablax import autograd as torch

torch.manual_seed(0)
images, labels, test_images, test_labels = digits()
x, test_x = images.flatten(1), test_images.flatten(1)

w = (0.01 * torch.randn(64, 10)).requires_grad_()
b = torch.zeros(10, requires_grad=True)


def log_softmax(scores):
    """log p, with the largest score taken off first, so that nothing overflows."""
    scores = scores - scores.max(dim=1, keepdim=True).values
    return scores - scores.exp().sum(1, keepdim=True).log()


def accuracy():
    with torch.no_grad():
        return ((test_x @ w + b).argmax(1) == test_labels).float().mean().item()


print(f"before learning: {accuracy():.1%} right")
draw = batches(len(x), 100)
for step in range(short(600, 100)):
    at = next(draw)
    log_p = log_softmax(x[at] @ w + b)
    loss = -log_p.gather(1, labels[at].unsqueeze(1)).mean()
    loss.backward()
    with torch.no_grad():
        for p in (w, b):
            p -= 0.5 * p.grad
            p.grad = None
    if step % 100 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}  {accuracy():.1%} right")

with torch.no_grad():
    gap = (
        F.cross_entropy(test_x @ w + b, test_labels)
        + log_softmax(test_x @ w + b)[torch.arange(len(test_labels)), test_labels].mean()
    ).abs()
print(f"our cross entropy and nn.functional's differ by {gap:.1e}")
print(f"digits never seen: {accuracy():.1%} right")
