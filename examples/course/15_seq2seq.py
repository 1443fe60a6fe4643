"""Chapter 15: from one sequence to another. Dates as people write them to dates as computers do, by a GRU that
reads, one that writes, and attention between them (Bahdanau et al. 2014, arXiv:1409.0473); decoding by beams.

    python examples/course/15_seq2seq.py [--short]
"""

from course_data import short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
READ, WRITE = sorted(set("".join(MONTHS) + "0123456789 ")), list("0123456789-^")
WIDTH, BATCH, INS, OUTS = 48, 64, 11, 8
START = WRITE.index("^")


def problem(n):
    """'7 mar 2021', padded, and '21-03-07', as numbers of characters."""
    day, month, year = torch.randint(1, 29, (n,)), torch.randint(12, (n,)), torch.randint(100, (n,))
    dates = list(zip(day.tolist(), month.tolist(), year.tolist(), strict=True))
    said = [f"{d} {MONTHS[m]} 20{y:02d}".ljust(INS) for d, m, y in dates]
    meant = [f"{y:02d}-{m + 1:02d}-{d:02d}" for d, m, y in dates]
    return (
        torch.tensor([[READ.index(c) for c in s] for s in said]),
        torch.tensor([[WRITE.index(c) for c in s] for s in meant]),
    )


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.write = nn.Embedding(len(READ), WIDTH), nn.Embedding(len(WRITE), WIDTH)
        self.encoder, self.decoder = nn.GRUCell(WIDTH, WIDTH), nn.GRUCell(2 * WIDTH, WIDTH)
        self.look, self.answer = nn.Linear(WIDTH, WIDTH), nn.Linear(2 * WIDTH, len(WRITE))

    def encode(self, said):
        h, states = None, []
        for t in range(INS):
            h = self.encoder(self.read(said[:, t]), h)
            states.append(h)
        return torch.stack(states, dim=1), h

    def decode(self, letter, h, states):
        """Scores of the next character, and the state after it."""
        weights = (states @ self.look(h).unsqueeze(2)).softmax(dim=1)
        seen = (weights * states).sum(1)
        h = self.decoder(torch.cat([self.write(letter), seen], dim=1), h)
        return self.answer(torch.cat([h, seen], dim=1)), h

    def forward(self, said, meant):
        states, h = self.encode(said)
        letter, scores = torch.full((len(said),), START), []
        for t in range(OUTS):
            score, h = self.decode(letter, h, states)
            scores.append(score)
            letter = meant[:, t]  # the right one, whatever was said: teacher forcing
        return torch.stack(scores, dim=1)


model = Translator()
opt = nablax.Optimizer(
    nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adam(1e-2)), list(model.parameters())
)
loss = None
for step in range(short(60, 8)):
    said, meant = problem(BATCH)
    loss = F.cross_entropy(model(said, meant).flatten(0, 1), meant.flatten())
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 10 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}")


@torch.no_grad()
def beam(said, width=3):
    """The likeliest answer among those whose beginnings were always among the `width` likeliest."""
    states, h = model.encode(said.unsqueeze(0))
    beams = [(0.0, [START], h)]
    for _ in range(OUTS):
        longer = []
        for cost, letters, h in beams:
            scores, after = model.decode(torch.tensor(letters[-1:]), h, states)
            best = (-scores.log_softmax(1)[0]).topk(width, largest=False)
            longer += [
                (cost + c, [*letters, at], after)
                for c, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
        beams = sorted(longer, key=lambda b: b[0])[:width]
    return "".join(WRITE[i] for i in beams[0][1][1:])


said, meant = problem(short(8, 2))
right = 0
for i in range(len(said)):
    answer, wanted = beam(said[i]), "".join(WRITE[c] for c in meant[i].tolist())
    right += answer == wanted
    if i < 4:
        print(f"{''.join(READ[c] for c in said[i].tolist())} -> {answer}, wanted {wanted}")
print(f"dates right, all eight characters: {right} of {len(said)}")
print(f"loss at the end: {loss:.3f}")
