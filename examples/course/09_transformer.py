"""Chapter 9: a small transformer with dropout that writes (Vaswani et al. 2017, arXiv:1706.03762).

python examples/course/09_transformer.py [--short]
"""

import math

from course_data import short, zen
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
text, codes, alphabet = zen()
K, WIDTH, HEADS, LENGTH, BATCH, LAYERS = len(alphabet), 48, 4, 24, 12, short(2, 1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        n, length, _ = x.shape
        q, k, v = (
            part.view(n, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).reshape(n, length, WIDTH))


class Block(nn.Module):
    def __init__(self, drop=0.1):
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(WIDTH), Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.think = nn.Sequential(nn.Linear(WIDTH, 3 * WIDTH), nn.GELU(), nn.Linear(3 * WIDTH, WIDTH))
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        x = x + self.drop(self.attend(self.norm1(x)))
        return x + self.drop(self.think(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(K, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm, self.write = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, K)

    def forward(self, c):
        x = self.token(c) + self.place(torch.arange(c.shape[1]))
        return self.write(self.norm(self.blocks(x)))


model = GPT()
print("parameters:", sum(p.numel() for p in model.parameters()))
opt = nablax.Optimizer(nablax.adamw(4e-3, weight_decay=0.01), list(model.parameters()))
print(f"a guess without knowledge costs log {K} = {math.log(K):.2f} a character")
loss = None
for step in range(short(120, 12)):
    starts = torch.randint(len(codes) - LENGTH - 1, (BATCH,))
    windows = codes[starts[:, None] + torch.arange(LENGTH + 1)]
    loss = F.cross_entropy(model(windows[:, :-1]).reshape(-1, K), windows[:, 1:].reshape(-1))
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.item():.2f}")

model.eval()  # no dropout when it writes
line = [alphabet.index(c) for c in text[:LENGTH]]
with torch.no_grad():
    for _ in range(short(60, 8)):
        scores = model(torch.tensor([line[-LENGTH:]]))[0, -1]
        line.append(torch.multinomial((scores / 0.5).softmax(0), 1).item())
print("".join(alphabet[c] for c in line))
print(f"loss at the end: {loss:.2f}")
