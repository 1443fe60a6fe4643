"""Chapter 12: diffusion in the plane. Noise is added little by little; a network learns to say which, and goes back
(Ho et al. 2020, arXiv:2006.11239).

    python examples/course/12_diffusion.py [--short]
"""

import math

from course_data import moons, short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
TIMES, BATCH, WIDTH = 40, 256, 64
beta = torch.linspace(1e-3, 0.2, TIMES)
kept = torch.cumprod(1 - beta, dim=0)  # how much of the point's variance is left at time t


class Guess(nn.Module):
    """Which noise is in a point at time t."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 + 4, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2)
        )

    def forward(self, x, t):
        phase = t.float().unsqueeze(1) / TIMES * torch.tensor([math.pi, 2 * math.pi])
        return self.net(torch.cat([x, phase.sin(), phase.cos()], dim=1))


model = Guess()
opt = nablax.Optimizer(nablax.adam(3e-3), list(model.parameters()))
for step in range(short(250, 40)):
    clean, _ = moons(BATCH)
    t = torch.randint(TIMES, (BATCH,))
    noise = torch.randn(BATCH, 2)
    share = kept[t].unsqueeze(1)
    loss = F.mse_loss(model(share.sqrt() * clean + (1 - share).sqrt() * noise, t), noise)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 50 == 0:
        print(f"step {step:4d}  loss {loss.item():.3f}")


@torch.no_grad()
def made(n):
    """From noise to points, one time after the other."""
    x = torch.randn(n, 2)
    for t in reversed(range(TIMES)):
        guess = model(x, torch.full((n,), t))
        x = (x - beta[t] / (1 - kept[t]).sqrt() * guess) / (1 - beta[t]).sqrt()
        if t > 0:
            x = x + beta[t].sqrt() * torch.randn(n, 2)
    return x


points, real = made(short(300, 100)), moons(300)[0]
rows = [[" "] * 48 for _ in range(16)]
for px, py in points.tolist():
    i, j = int(8 - 6 * py), int(24 + 13 * px)
    if 0 <= i < 16 and 0 <= j < 48:
        rows[i][j] = "*"
print("\n".join("".join(row) for row in rows))
print(f"noise is {torch.cdist(torch.randn(300, 2), real).amin(dim=1).mean():.3f} away from the moons")
print(f"points made are {torch.cdist(points, real).amin(dim=1).mean():.3f} away from the moons")
