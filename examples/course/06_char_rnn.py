"""Chapter 6: a recurrent network that writes. Characters of the Zen of Python, one after the other (Elman 1990).

python examples/course/06_char_rnn.py [--short]
"""

import math

from course_data import short, zen
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(1)
text, codes, alphabet = zen()
K, HIDDEN, LENGTH, BATCH = len(alphabet), 96, 24, 16


class CharRNN(nn.Module):
    """h' = tanh(E[c] + W h + b): the embedding is the first layer of a one-hot character."""

    def __init__(self):
        super().__init__()
        self.read = nn.Embedding(K, HIDDEN)
        self.recur = nn.Linear(HIDDEN, HIDDEN)
        self.write = nn.Linear(HIDDEN, K)
        nn.init.orthogonal_(self.recur.weight)

    def forward(self, c, h):
        h = torch.tanh(self.read(c) + self.recur(h))
        return self.write(h), h


model = CharRNN()
opt = nablax.Optimizer(
    nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adam(4e-3)), list(model.parameters())
)


def loss_of(windows):
    h, loss = torch.zeros(len(windows), HIDDEN), 0
    for t in range(LENGTH):
        scores, h = model(windows[:, t], h)
        loss = loss + F.cross_entropy(scores, windows[:, t + 1])
    return loss / LENGTH


def sample(start, n, temperature=0.5):
    """n characters, each drawn from what the network expects."""
    with torch.no_grad():
        h = torch.zeros(1, HIDDEN)
        out = [alphabet.index(c) for c in start]
        for c in out[:-1]:
            _, h = model(torch.tensor([c]), h)
        for _ in range(n):
            scores, h = model(torch.tensor([out[-1]]), h)
            out.append(torch.multinomial((scores / temperature).softmax(1), 1).item())
    return "".join(alphabet[c] for c in out)


print(f"a guess without knowledge costs log {K} = {math.log(K):.2f} a character")
loss = None
for step in range(short(220, 25)):
    starts = torch.randint(len(codes) - LENGTH - 1, (BATCH,))
    windows = codes[starts.unsqueeze(1) + torch.arange(LENGTH + 1)]
    loss = loss_of(windows)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 40 == 0:
        print(f"step {step:3d}  loss {loss.item():.2f}")
print(sample("beautiful is ", short(120, 20)))
print(f"loss at the end: {loss:.2f}")
