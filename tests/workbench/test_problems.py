"""The problems that ship, and a user's file."""

import sys

import jax
import numpy as np
import pytest

from nablax.core import ArgumentError
from nablax.workbench._problems import PROBLEMS, load_problem
from nablax.workbench._problems._shipped import split
from workbench.small_problems import QUADRATIC


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_has_a_finite_loss_and_metric_and_seeds_of_its_own(name):
    problem = PROBLEMS[name].load()
    assert problem.name == name
    assert problem.summary == PROBLEMS[name].summary
    params = [problem.init(jax.random.key(seed)) for seed in (0, 1)]
    leaves = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(p)]) for p in params]
    assert not np.array_equal(*leaves)
    batch = problem.batches(jax.random.key(2))
    assert problem.streams == hasattr(batch, "__next__")
    batch = next(batch) if problem.streams else batch
    assert np.isfinite(problem.loss(params[0], batch))
    assert np.isfinite(problem.evaluate(params[0]))


def test_the_split_is_fixed_disjoint_and_standardised_with_the_training_part_alone():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(3.0, 2.0, (200, 4)), np.ones((200, 1))], axis=1)
    x[:, 0] = np.arange(200)  # names the row
    y = np.arange(200) % 4
    one, two = split(x, y, classes=True), split(x, y, classes=True)
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal(one.y_held, two.y_held)
    assert not set(one.x[:, 0]) & set(one.x_held[:, 0])
    assert len(one.x) + len(one.x_held) == 200
    np.testing.assert_allclose(one.x[:, :4].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(one.x[:, :4].std(axis=0), 1, atol=1e-5)
    assert np.abs(one.x_held[:, 1:4].mean(axis=0)).max() > 1e-3  # the held-out part keeps its own mean
    np.testing.assert_array_equal(one.x[:, 4], 0)  # a column without deviation
    assert np.bincount(one.y_held).tolist() == [13, 12, 13, 12] or np.ptp(np.bincount(one.y_held)) <= 1


def test_a_pass_holds_each_row_of_the_training_part_once_in_an_order_of_its_own():
    rng = np.random.default_rng(0)
    data = split(rng.normal(size=(40, 2)), np.arange(40.0), classes=False)
    passes = [list(data.batches(7)(jax.random.key(i))) for i in (0, 0, 1)]
    rows = [np.concatenate([y for _, y in batches]) for batches in passes]
    assert [len(batches) for batches in passes] == [4, 4, 4]  # of 30 rows
    assert len(set(rows[0])) == 28
    assert set(rows[0]) <= set(data.y)
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    x, y = passes[0][0]
    np.testing.assert_array_equal(x[0], data.x[np.flatnonzero(data.y == y[0])[0]])


def test_a_file_of_the_users(tmp_path):
    file = tmp_path / "line.py"
    file.write_text("STEPS = 7\n" + QUADRATIC)
    problem = load_problem(str(file))
    assert (problem.name, problem.metric, problem.steps, problem.streams) == ("line", "distance", 7, False)
    assert not problem.higher_is_better
    file.write_text(QUADRATIC.partition("def evaluate")[0])
    assert load_problem(str(file)).evaluate is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            QUADRATIC.replace("def loss", "def cost"),
            r"must define loss\(params, batch\); it defines init, cost, batches",
        ),
        (QUADRATIC.replace("def init(key)", "def init()"), r"init\(key\): TypeError"),
        (
            QUADRATIC.replace("jnp.mean(", "("),
            r"loss\(params, batch\): must return a scalar, got shape \(3,\)",
        ),
        (QUADRATIC.replace("jnp.linalg.norm(", "float("), r"evaluate\(params\): line 18: "),
        (QUADRATIC + "\ndef f(:\n", r"line 20: SyntaxError"),
        (
            QUADRATIC + "\nimport no_such_module\n",
            r"line 20: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (QUADRATIC + "\ndef batches(key):\n    return iter(())\n", r"batches\(key\): the iterator is empty"),
        (QUADRATIC + "\nSTEPS = 'many'\n", r"STEPS must be a positive int, got 'many'"),
        (QUADRATIC + "\nTARGET = 'low'\n", r"TARGET must be a number or {name: number}, got 'low'"),
        (QUADRATIC + "\nraise SystemExit(3)\n", r"line 20: SystemExit: 3"),
        (QUADRATIC + "\nevaluate = 3\n", r"evaluate must be a function of params, got 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, source, message):
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(ArgumentError, match=message) as caught:
        load_problem(str(file))
    assert "\n" not in str(caught.value)
    assert "mine.py" in str(caught.value)


def read(tmp_path, batches, loss="jnp.sum((p - batch) ** 2)", more=""):
    """A problem with these lines for its batches."""
    file = tmp_path / "forms.py"
    lines = "import jax, numpy as np, jax.numpy as jnp\n" + more
    file.write_text(
        f"{lines}\ndef init(key): return jnp.zeros(2)\ndef loss(p, batch): return {loss}\n{batches}\n"
    )
    return load_problem(str(file))


LOADER = """
class Loader:
    def __iter__(self):
        return iter([np.ones(2), np.zeros(2)])
"""

FORMS = {
    "one step": ("def batches(key): return jax.random.normal(key, (2,))", False),
    "iterator": ("def batches(key):\n    yield np.ones(2)", True),
    "list": ("batches = [np.ones(2), np.zeros(2)]", True),
    "whole": ("batches = np.ones(2)", False),
    "loader": (LOADER + "batches = Loader()", True),
    "list of a function": ("def batches(key): return [np.ones(2)]", True),
    "loader of a function": (LOADER + "def batches(key): return Loader()", True),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_batches(tmp_path, form):
    problem = read(tmp_path, FORMS[form][0])
    assert problem.streams == FORMS[form][1]
    for _ in range(2):  # again and again
        made = problem.batches(jax.random.key(0))
        batch = next(iter(made)) if problem.streams else made
        assert np.shape(batch) == (2,)
        if form != "one step":
            np.testing.assert_array_equal(batch, 1.0)


def test_a_tree_is_taken_whole_and_a_torch_loader_is_read(tmp_path):
    pytest.importorskip("torch")
    problem = read(
        tmp_path, "batches = (np.ones((5, 2)), {'y': np.zeros(5)})", "jnp.sum(p) + jnp.sum(batch[1]['y'])"
    )
    assert not problem.streams
    assert problem.batches(jax.random.key(0))[0].shape == (5, 2)
    more = "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
    made = "batches = DataLoader(TensorDataset(torch.ones(6, 2), torch.zeros(6)), batch_size=3)"
    problem = read(tmp_path, made, "jnp.sum(p - batch[0]) + jnp.sum(batch[1])", more)
    assert problem.streams
    assert [tuple(x.shape) for x, y in problem.batches(jax.random.key(0))] == [(3, 2), (3, 2)]


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (
            "batches = iter([np.ones(2)])",
            r"batches: an iterator can be read only once.*write `def batches\(key\)`",
        ),
        ("batches = []", r"batches: the list is empty"),
        (
            LOADER.replace("[np.ones(2), np.zeros(2)]", "()") + "batches = Loader()",
            r"batches: the loader is empty",
        ),
        ("batches = 'data.csv'", r"batches: a leaf of a batch must be an array, got str"),
        ("batches = [np.array(['a', 'b'])]", r"batches: a leaf of a batch must hold numbers, got dtype <U1"),
        ("def batches(): return np.ones(2)", r"batches\(key\): TypeError: batches\(\) takes 0 positional"),
        (
            "def batches(key): return np.random.default_rng(int(key[0])).normal(size=2)",
            r"batches\(key\): line ",
        ),
        (
            "def batches(key): return np.random.default_rng(int(jax.random.bits(key))).normal(size=2)",
            r"JAX traces it, and it asks for the values of the key.*let it yield",
        ),
        ("batches = np.ones(3)", r"loss\(params, batch\): line 4: TypeError: sub got incompatible shapes"),
    ],
)
def test_a_wrong_form_of_batches_is_a_sentence(tmp_path, batches, said):
    with pytest.raises(ArgumentError, match=said) as caught:
        read(tmp_path, batches)
    assert "\n" not in str(caught.value)


def test_a_target_is_a_loss_or_a_metric_by_name(tmp_path):
    file = tmp_path / "mine.py"
    for given, read_as in (
        ("0.5", ("loss", 0.5)),
        ("{'distance': 2}", ("distance", 2.0)),
        ("{'loss': 1}", ("loss", 1.0)),
    ):
        file.write_text(QUADRATIC + f"\nTARGET = {given}\n")
        assert load_problem(str(file)).target == read_as
    for given in ("{'accuracy': 0.5}", "{}", "float('nan')", "{'loss': 1, 'distance': 2}", "True"):
        file.write_text(QUADRATIC + f"\nTARGET = {given}\n")
        with pytest.raises(ArgumentError, match="TARGET"):
            load_problem(str(file))


def test_a_file_finds_modules_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "beside_it.py").write_text("SCALE = 2.0\n")
    (tmp_path / "mine.py").write_text("from beside_it import SCALE\n" + QUADRATIC)
    assert load_problem(str(tmp_path / "mine.py")).name == "mine"


def test_unknown_problems():
    with pytest.raises(ArgumentError, match="no problem 'digit'; did you mean digits"):
        load_problem("digit")
    with pytest.raises(ArgumentError, match=r"no file nowhere\.py"):
        load_problem("nowhere.py")
