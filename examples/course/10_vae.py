"""Chapter 10: a variational autoencoder of digits (Kingma and Welling 2013, arXiv:1312.6114).

    python examples/course/10_vae.py [--short]

A sample of the code is mean + deviation * noise, so that the gradient flows through it.
"""

from course_data import batches, digits, short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
images, _, test_images, _ = digits()
x, test_x = images.flatten(1), test_images.flatten(1)
CODE, HIDDEN = 6, 64


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 64))

    def forward(self, x):
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def bound(model, x):
    """What a digit costs, in nats: to say what it is given its code, and the code."""
    logits, mean, log_var = model(x)
    says = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    code = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)
    return (says + code).mean(), code.mean()


def drawn(image):
    """A digit in characters."""
    return [
        "".join(" .:*#"[min(int(5 * max(v, 0.0)), 4)] * 2 for v in row) for row in image.view(8, 8).tolist()
    ]


model = VAE()
opt = nablax.Optimizer(nablax.adam(3e-3), list(model.parameters()))
draw = batches(len(x), 100)
for step in range(short(300, 50)):
    loss, code = bound(model, x[next(draw)])
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 0:
        print(f"step {step:3d}  {loss.item():.2f} nats, of them {code.item():.2f} for the code")

with torch.no_grad():
    again = model(test_x[:3])[0].sigmoid()
    made = model.decoder(torch.randn(3, CODE)).sigmoid()
for title, three in (("digits", test_x[:3]), ("the same from their codes", again), ("made up", made)):
    print(title)
    print("\n".join("   ".join(parts) for parts in zip(*[drawn(each) for each in three], strict=True)))
with torch.no_grad():
    print(f"digits never seen cost {bound(model, test_x)[0]:.2f} nats")
