"""Chapter 14: word vectors. Skip-gram with negative samples (Mikolov et al. 2013, arXiv:1310.4546) on sentences of a
small grammar: words of one kind end up side by side.

    python examples/course/14_word_vectors.py [--short]
"""

from course_data import short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
KINDS = {
    "animal": ["cat", "dog", "horse", "cow"], "person": ["king", "queen", "farmer", "baker"],
    "eats": ["eats", "likes", "wants", "buys"], "goes": ["walks", "runs", "rides", "jumps"],
    "food": ["bread", "cheese", "apples", "soup"], "place": ["home", "uphill", "downtown", "away"],
}  # fmt: skip
WORDS = [word for kind in KINDS.values() for word in kind]
KIND = {word: kind for kind, words in KINDS.items() for word in words}
NUMBER = {word: i for i, word in enumerate(WORDS)}


def pick(kind):
    return KINDS[kind][torch.randint(4, (1,)).item()]


def sentence():
    who = pick("animal") if torch.rand(1) < 0.5 else pick("person")
    if KIND[who] == "animal":
        return [who, pick("goes"), pick("place")]
    return [who, pick("eats"), pick("food")] if torch.rand(1) < 0.7 else [who, pick("goes"), pick("place")]


pairs = []
for _ in range(short(1500, 300)):
    words = [NUMBER[w] for w in sentence()]
    pairs += [(a, b) for i, a in enumerate(words) for j, b in enumerate(words) if i != j]
pairs = torch.tensor(pairs)
print(f"{len(pairs)} pairs of words that stand together")


class SkipGram(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.word, self.context = nn.Embedding(len(WORDS), width), nn.Embedding(len(WORDS), width)

    def forward(self, word, context):
        return (self.word(word) * self.context(context)).sum(-1)


model = SkipGram()
opt = nablax.Optimizer(nablax.adam(2e-2), list(model.parameters()))
BATCH, NEGATIVE = 256, 4
for step in range(short(400, 120)):
    word, context = pairs[torch.randint(len(pairs), (BATCH,))].unbind(1)
    wrong = torch.randint(len(WORDS), (BATCH, NEGATIVE))
    loss = -F.logsigmoid(model(word, context)).mean()
    loss = loss - NEGATIVE * F.logsigmoid(-model(word.unsqueeze(1), wrong)).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}")

with torch.no_grad():
    vectors = F.normalize(model.word.weight, dim=1)
    near = (vectors @ vectors.T - 2 * torch.eye(len(WORDS))).topk(3).indices
for word in ("cat", "queen", "bread", "runs"):
    print(f"{word:6s} is near {', '.join(WORDS[i] for i in near[NUMBER[word]].tolist())}")
right = sum(KIND[WORDS[i]] == KIND[word] for word in WORDS for i in near[NUMBER[word]].tolist())
print(f"neighbours of the same kind: {right / (3 * len(WORDS)):.1%}")
