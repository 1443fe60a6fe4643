"""Chapter 8: attention. A row of keys and values and a question: the network learns where to look.

python examples/course/08_attention.py [--short]
"""

import math

from course_data import short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
KEYS, LENGTH, WIDTH, BATCH = 12, 6, 24, 64


def problem(n):
    """n rows of different keys, each with a number; a key that is asked for; its number."""
    keys = torch.stack([torch.randperm(KEYS)[:LENGTH] for _ in range(n)])
    values = torch.randint(10, (n, LENGTH))
    at = torch.randint(LENGTH, (n, 1))
    return keys, values, keys.gather(1, at).squeeze(1), values.gather(1, at).squeeze(1)


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.key, self.value = nn.Embedding(KEYS, WIDTH), nn.Embedding(10, WIDTH)
        self.query = nn.Embedding(KEYS, WIDTH)
        self.answer = nn.Linear(WIDTH, 10)

    def forward(self, keys, values, asked):
        q = self.query(asked).unsqueeze(1)  # batch, 1, width
        k, v = self.key(keys), self.value(values)  # batch, length, width
        weights = (q @ k.transpose(1, 2) / math.sqrt(WIDTH)).softmax(dim=-1)
        return self.answer((weights @ v).squeeze(1)), weights.squeeze(1)


model = Lookup()
opt = nablax.Optimizer(nablax.adam(2e-2), list(model.parameters()))
for step in range(short(300, 80)):
    keys, values, asked, wanted = problem(BATCH)
    scores, _ = model(keys, values, asked)
    loss = F.cross_entropy(scores, wanted)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 50 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}")

keys, values, asked, wanted = problem(500)
with torch.no_grad():
    scores, weights = model(keys, values, asked)
print("keys        ", keys[0].tolist(), "asked for", asked[0].item())
print("looks at    ", [round(w, 2) for w in weights[0].tolist()])
same = F.scaled_dot_product_attention(model.query(asked).unsqueeze(1), model.key(keys), model.value(values))
by_hand = weights.unsqueeze(1) @ model.value(values)
print(f"scaled_dot_product_attention is the same to {(same - by_hand).abs().max():.0e}")
print(f"right answers: {(scores.argmax(1) == wanted).float().mean():.1%}")
