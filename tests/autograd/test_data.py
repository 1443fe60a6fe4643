"""Batches of data sets, beside torch's: what comes in which batch, its shapes, and what is refused."""

import collections

import numpy as np
import pytest
from nablax.autograd.nn.utils import rnn
from nablax.autograd.utils import data

from nablax import autograd

ROWS = np.arange(22, dtype=np.float32).reshape(11, 2)
Pair = collections.namedtuple("Pair", "x y")
SETS = {  # what both libraries can read
    "pairs": [(ROWS[i], i) for i in range(11)],
    "named": [Pair(float(i), ROWS[i]) for i in range(11)],
    "dicts": [{"x": ROWS[i], "words": "abcdefghijk"[i], "deep": [i, (i, i)]} for i in range(11)],
    "rows": ROWS,
}
OPTIONS = {
    "one by one": {}, "by four": {"batch_size": 4}, "whole ones": {"batch_size": 4, "drop_last": True},
    "an order": {"batch_size": 3, "sampler": [5, 1, 9, 9]}, "given": {"batch_sampler": [[1, 2], [7]]},
    "with workers": {"batch_size": 4, "num_workers": 0, "pin_memory": False},
    "as they are": {"batch_size": None}, "counted": {"batch_size": 4, "collate_fn": len},
}  # fmt: skip


def plain(value):
    """As Python's lists, numbers and strings."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", SETS)
def test_batches_are_torchs(name, options):
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data.DataLoader(SETS[name], **OPTIONS[options])
    ours = data.DataLoader(SETS[name], **OPTIONS[options])
    assert len(ours) == len(theirs)
    batches = [plain(b) for b in ours]
    assert batches
    assert batches == [plain(b) for b in theirs]
    assert [plain(b) for b in ours] == batches  # a second time


def test_rows_of_tensors():
    y = autograd.tensor(ROWS, requires_grad=True)
    pairs = data.TensorDataset(autograd.arange(11), y)
    assert [x.tolist() for x in pairs[3]] == [3, ROWS[3].tolist()]
    for loader in (
        data.DataLoader(pairs, 4),
        data.DataLoader(data.Subset(pairs, list(range(11))), 4),
        data.DataLoader(
            data.ConcatDataset([data.Subset(pairs, range(5)), data.Subset(pairs, range(5, 11))]), 4
        ),
        data.DataLoader(data.Subset(pairs, range(5)) + data.Subset(pairs, range(5, 11)), 4),
    ):
        batches = list(loader)
        assert [x.tolist() for x, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        np.testing.assert_array_equal(np.concatenate([b.detach().numpy() for _, b in batches]), ROWS)
        y.grad = None
        (batches[1][1] ** 2).sum().backward()
        np.testing.assert_array_equal(
            y.grad.numpy(), 2 * ROWS * np.isin(np.arange(11), [4, 5, 6, 7])[:, None]
        )


def test_what_changes_in_a_tensor_is_in_the_next_batch():
    x = autograd.zeros(3)
    loader = data.DataLoader(data.TensorDataset(x), 3)
    x += 1
    ((batch,),) = loader
    assert batch.tolist() == [1, 1, 1]
    batch += 1
    assert x.tolist() == [1, 1, 1]


def test_orders_are_drawn_anew_and_follow_the_seed():
    def order(loader):
        return [int(i) for (batch,) in loader for i in batch]

    numbers = data.TensorDataset(autograd.arange(50))

    def orders(**kwargs):
        loader = data.DataLoader(numbers, 8, shuffle=True, **kwargs)
        return order(loader), order(loader)

    autograd.manual_seed(3)
    first, second = orders()
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    autograd.manual_seed(3)
    assert orders() == (first, second)
    seeded = [orders(generator=autograd.Generator().manual_seed(4)) for _ in range(2)]
    assert seeded[0] == seeded[1]


def test_splits():
    torch = pytest.importorskip("torch")
    for n, lengths in ((11, [6, 5]), (11, [0.5, 0.5]), (10, [0.7, 0.2, 0.1]), (10, [0.5]), (7, [3, 4, 0])):
        if sum(lengths) in (1, n):
            theirs = torch.utils.data.random_split(range(n), lengths)
            ours = data.random_split(range(n), lengths)
            assert list(map(len, ours)) == list(map(len, theirs))
            assert sorted(x for part in ours for x in map(part.__getitem__, range(len(part)))) == list(
                range(n)
            )
    assert [len(part) for part in data.random_split(range(1), [0.8, 0.2])] == [1, 0]
    with pytest.raises(ValueError, match="lengths must sum to 11, the data set's length, got 7"):
        data.random_split(range(11), [3, 4])


def test_a_subset_of_the_users_own_is_asked_itself():
    class Doubled(data.Subset):
        def __getitem__(self, index):
            (x,) = super().__getitem__(index)
            return x * 2

    rows = Doubled(data.TensorDataset(autograd.arange(6)), [1, 2, 5])
    assert [b.tolist() for b in data.DataLoader(rows, 2)] == [[2, 4], [10]]
    assert data.Subset(range(9), np.arange(9))[2] == 2
    assert data.Subset(data.TensorDataset(autograd.arange(6)), [1, 2, 5])[[0, 2]][0].tolist() == [1, 5]


def test_a_data_set_may_give_several_samples_at_once():
    class Squares(data.Dataset[int]):
        def __getitems__(self, indices):
            return [i * i for i in indices]

        def __len__(self):
            return 3

        __getitem__ = None

    assert [b.tolist() for b in data.DataLoader(Squares(), 2)] == [[0, 1], [4]]


def test_samplers_are_torchs():
    torch = pytest.importorskip("torch")
    from nablax.autograd.utils.data.sampler import SubsetRandomSampler

    assert SubsetRandomSampler is data.SubsetRandomSampler
    for lib in (data, torch.utils.data):
        assert list(lib.BatchSampler(lib.SequentialSampler(range(5)), 2, True)) == [[0, 1], [2, 3]]
        assert len(lib.BatchSampler(range(5), 2, False)) == 3
        assert sorted(lib.RandomSampler(range(5))) == [0, 1, 2, 3, 4]
        assert sorted(list(lib.RandomSampler(range(3), num_samples=8))[:6]) == [0, 0, 1, 1, 2, 2]
        drawn = list(lib.RandomSampler(range(2), replacement=True, num_samples=50))
        assert (len(drawn), set(drawn)) == (50, {0, 1})
        assert sorted(lib.SubsetRandomSampler([7, 3, 5])) == [3, 5, 7]
        drawn = list(lib.WeightedRandomSampler([0, 3, 1, 0], 4000))
        assert set(drawn) == {1, 2}
        assert abs(drawn.count(1) - 3000) < 6 * 750**0.5
        assert sorted(lib.WeightedRandomSampler([0.2, 0, 3, 1], 3, replacement=False)) == [0, 2, 3]
    first = [next(iter(data.WeightedRandomSampler([1.0, 9.0], 1, False))) for _ in range(2000)]
    assert abs(sum(first) - 1800) < 6 * 180**0.5
    for make in (
        lambda g: data.RandomSampler(range(40), generator=g),
        lambda g: data.WeightedRandomSampler(np.ones(40), 40, generator=g),
    ):
        a, b = (list(make(autograd.Generator().manual_seed(1))) for _ in range(2))
        assert a == b
    with pytest.raises(ValueError, match="2 of them above 0"):
        data.WeightedRandomSampler([1, 0], 2, False)


def test_a_loader_shows_its_samplers():
    loader = data.DataLoader(range(7), 3, sampler=data.SubsetRandomSampler([1, 2, 3, 4]))
    assert (len(loader), len(loader.sampler), len(loader.batch_sampler)) == (2, 4, 2)
    assert sorted(i for batch in loader for i in batch.tolist()) == [1, 2, 3, 4]
    assert list(data.DataLoader(range(7), batch_sampler=[])) == []
    batches = autograd.tensor([[0, 1], [5, 2]])
    assert [b.tolist() for b in data.DataLoader(range(7), batch_sampler=batches)] == [[0, 1], [5, 2]]


def test_what_is_iterable():
    class Count(data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in data.DataLoader(Count(), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in data.DataLoader((i for i in range(5)), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(data.DataLoader(Count(), None)) == [0, 1, 2, 3, 4]


def test_what_is_refused():
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        data.DataLoader([1], 0)
    with pytest.raises(ValueError, match="iterable alone and comes in its own order"):
        data.DataLoader(iter([1]), shuffle=True)
    with pytest.raises(ValueError, match="batch_sampler says all"):
        data.DataLoader([1], 2, batch_sampler=[[0]])
    with pytest.raises(TypeError, match="batchsize"):
        data.DataLoader([1], batchsize=2)
    with pytest.raises(ValueError, match="lists of a batch must have one length, got 1, 2"):
        data.default_collate([[1], [2, 3]])
    with pytest.raises(ValueError, match="two orders"):
        data.DataLoader([1], shuffle=True, sampler=[0])
    with pytest.raises(ValueError, match="one length, got 2, 3"):
        data.TensorDataset(autograd.zeros(2), autograd.zeros(3))
    with pytest.raises(TypeError, match="got object; DataLoader takes collate_fn="):
        list(data.DataLoader([object()]))
    with pytest.raises(NotImplementedError, match="Mine needs __getitem__"):
        type("Mine", (data.Dataset,), {})()[0]


@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True, "padding_value": -1.0}, {"padding_side": "left"}]
)
@pytest.mark.parametrize("width", [(), (2,)])
def test_padded_sequences_are_torchs(options, width):
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(n).normal(size=(n, *width)).astype(np.float32) for n in (2, 4, 3)]
    a, b = ([lib.tensor(x, requires_grad=True) for x in arrays] for lib in (autograd, torch))
    mine, their = rnn.pad_sequence(a, **options), torch.nn.utils.rnn.pad_sequence(b, **options)
    np.testing.assert_array_equal(mine.detach().numpy(), their.detach().numpy())
    (mine**2).sum().backward(), (their**2).sum().backward()
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


def test_forward_again_is_found_where_torch_has_it():
    from nablax.autograd.utils.checkpoint import checkpoint

    assert checkpoint is autograd.checkpoint
