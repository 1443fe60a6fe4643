"""Chapter 16: acting. A walker learns from rewards alone to cross a corridor (Williams 1992): the gradient of the
logarithm of what was done, times what came of it.

    python examples/course/16_policy_gradient.py [--short]
"""

from course_data import short

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
LENGTH, LIMIT, WALKERS = 6, 20, 32


def play(policy, greedy=False):
    """WALKERS walks from the left end: logarithms of the probabilities of what was done, and the rewards.

    Each step costs 0.1; the right end is worth 1, and ends the walk.
    """
    place = torch.zeros(WALKERS).long()
    logs, rewards, alive = [], [], torch.ones(WALKERS)
    for _ in range(LIMIT):
        log_p = policy(place).log_softmax(dim=1)
        action = log_p.argmax(1) if greedy else torch.multinomial(log_p.detach().exp(), 1).squeeze(1)
        logs.append(log_p.gather(1, action.unsqueeze(1)).squeeze(1) * alive)
        place = (place + 2 * action - 1).clamp(0, LENGTH - 1)
        arrived = (place == LENGTH - 1).float()
        rewards.append((arrived - 0.1) * alive)
        alive = alive * (1 - arrived)
    return torch.stack(logs), torch.stack(rewards)


policy = nn.Sequential(nn.Embedding(LENGTH, 16), nn.Tanh(), nn.Linear(16, 2))
opt = nablax.Optimizer(nablax.adam(2e-2), list(policy.parameters()))
with torch.no_grad():
    print(
        f"before: mean reward {play(policy)[1].sum(0).mean():.2f}; the best possible is {1 - 0.1 * (LENGTH - 1):.2f}"
    )
for step in range(short(150, 25)):
    logs, rewards = play(policy)
    returns = rewards.flip(0).cumsum(0).flip(0)  # all that came after
    loss = -(logs * (returns - returns.mean(dim=1, keepdim=True))).sum(0).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 25 == 0:
        print(f"step {step:3d}  mean reward {rewards.sum(0).mean().item():.2f}")
with torch.no_grad():
    print(f"mean reward at the end: {play(policy)[1].sum(0).mean():.2f}")
