"""Chapter 7: gates remember. The adding problem (Hochreiter and Schmidhuber 1997): of a long row of numbers, two are
marked, and their sum is asked for. A plain recurrent cell, a GRU and an LSTM side by side.

    python examples/course/07_gru_lstm.py [--short]
"""

from course_data import short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

LENGTH, HIDDEN, BATCH = short(12, 6), 24, 50


def problem(n):
    """(n, LENGTH, 2): numbers in [0, 1) and marks; and the sum of the two marked numbers."""
    numbers = torch.rand(n, LENGTH)
    first = torch.randint(LENGTH // 2, (n,))
    second = torch.randint(LENGTH // 2, LENGTH, (n,))
    marks = F.one_hot(first, LENGTH) + F.one_hot(second, LENGTH)
    return torch.stack([numbers, marks.float()], dim=2), (numbers * marks).sum(1)


class Adder(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell(2, HIDDEN)
        self.answer = nn.Linear(HIDDEN, 1)

    def forward(self, x):
        state = None
        for t in range(LENGTH):
            state = self.cell(x[:, t], state)
        h = state[0] if isinstance(state, tuple) else state  # an LSTM has a memory beside its output
        return self.answer(h).squeeze(1)


def trained(cell, steps):
    torch.manual_seed(0)
    model = Adder(cell)
    opt = nablax.Optimizer(nablax.adam(1e-2), list(model.parameters()))
    for _ in range(steps):
        x, y = problem(BATCH)
        loss = F.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    x, y = problem(500)
    with torch.no_grad():
        return F.mse_loss(model(x), y).item()


errors = {}
print(f"always saying 1 has a mean square error of {1 / 6:.4f}")
for cell in (nn.RNNCell, nn.GRUCell, nn.LSTMCell):
    errors[cell.__name__] = trained(cell, short(160, 20))
    print(f"{cell.__name__:9s} mean square error {errors[cell.__name__]:.4f}")
print(f"the GRU's error on rows never seen: {errors['GRUCell']:.4f}")
