"""The documentation site: every public name is in the reference; equations and docstrings come out as meant."""

import importlib
import re
import types
from pathlib import Path

import pytest

import nablax
from _site import names, reference
from _site.docstrings import markdown
from _site.equations import NotAnEquation, is_equation, latex
from _site.inline import in_code, pieces
from _site.signatures import signature

DOCS = Path(__file__).parent.parent / "docs"
HEADS = sorted((Path(nablax.__file__).parent / "optimizers").glob("_*.py"))
ENTRY = re.compile(r"^`+\{py:\w+\} (\w+)|^\| \{listed\}`[\w.]+\.(\w+) <", re.MULTILINE)


def offered(module):
    """What `from module import *` brings, without modules and what serves annotations."""
    found = importlib.import_module(module)
    return {
        name
        for name in dir(found)
        if not name.startswith("_") and name not in ("Any", "TYPE_CHECKING")
        and not isinstance(getattr(found, name), types.ModuleType)
    }  # fmt: skip


@pytest.mark.parametrize("module", names.MODULES)
def test_every_public_name_is_in_the_reference_once(module):
    page = DOCS / "reference" / f"{module.removeprefix('nablax.')}.md"
    listed = [a or b for a, b in ENTRY.findall(reference.expand(page.read_text()))]
    assert {name for name in listed if name != "nablax"} >= offered(module)
    top = [name for name in listed if name in names.public(module)]
    methods = {n for value in names.public(module).values() for n in dir(value)}
    assert not {n for n in top if top.count(n) > 1} - methods


def test_every_wing_of_the_package_has_a_page():
    wings = {f"nablax.{p.parent.name}" for p in Path(nablax.__file__).parent.glob("*/__init__.py")}
    assert wings - {"nablax.workbench"} <= set(names.MODULES)  # the workbench is a command


@pytest.mark.parametrize("path", HEADS, ids=lambda p: p.stem)
def test_equations_of_optimizers_are_set(path):
    head = names.head_of(f"nablax.optimizers.{path.stem}")
    blocks = re.findall(r"\n\n((?:    .*\n?)+)", head)
    assert all(is_equation(block) for block in blocks if "=" in block and path.stem != "_dog")
    assert markdown(head).count("```{math}") == sum(is_equation(block) for block in blocks)


def test_the_notation():
    (line,) = latex("u_t = -lr_t m^_t / (sqrt(v^_t) + eps)")
    assert line.replace(" ", "") == (
        r"u_{t}=-\frac{\mathrm{lr}_{t}\,\hat{m}_{t}}{\sqrt{\hat{v}_{t}}+\epsilon}"
    )
    assert [r"b_{1}^{t}" in row for row in latex("c = 1 - b1^t")] == [True]
    assert r"\text{whatever follows }" in latex("d_t = g_t   whatever follows")[0]
    assert not is_equation('x = f("a")')
    assert not is_equation("tx = nablax.adam(1e-3)")
    with pytest.raises(NotAnEquation):
        latex("u = (a + b")


SENTENCES = {
    "its state is Adam's, with n_t in the place of nu.": ["n_{t}"],
    "decay: u = g / (|g| + eps).": [r"u=\dfrac{g}{\left\vert g\right\vert +\epsilon }"],
    "The nearest tree with <a, p> <= b, at x = 0.": [r"\left\langle a,\;p\right\rangle \le b", "x=0"],
    "decays, 1 - 10^-k for k = 1, ..., num_betas.": ["1-10^{-k}", r"k=1,\;\ldots ,\;\mathrm{num\_betas}"],
    "every k-th (that is x_half) of them": [r"x_{\mathrm{half}}"],
    "b1, eps_root, mu_dtype, and tx.update(g, state); lr=0.1, eps = 1e-8 and N = number of heads": [],
    "m_t: the mean. A file a_b/c_d.py, i.e. no <b> or f(x) or 3 / 4 of it, in a - b": ["3/4"],
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_equations_within_sentences(sentence):
    found = list(pieces(sentence))
    assert [text.replace(r"\dfrac{3}{4}", "3/4") for text, is_math in found if is_math] == SENTENCES[sentence]
    assert all(text in sentence for text, is_math in found if not is_math)


def test_code_spans_that_are_equations():
    assert in_code("(1 - a s^2)^2 + a^2") == r"\left(1-a\,s^{2}\right)^{2}+a^{2}"
    assert in_code("|F(z)|")
    assert in_code("a <= 1/2")
    assert not any(
        map(in_code, ["u", "b1 = 0.9", "p + u", "w_1", "f(x, y=1)", "init, update = tx", "loss / k"])
    )


def test_docstrings_become_lists_and_links():
    text = markdown(nablax.adamw.__doc__.replace("\n    ", "\n"))
    assert "**Arguments**" in text
    assert "- **weight\\_decay**: multiplied by the learning rate, as in PyTorch." in text
    assert "[arXiv:1711.05101](https://arxiv.org/abs/1711.05101)" in text
    assert "```pycon" in markdown(nablax.adam.__doc__.replace("\n    ", "\n"))
    assert markdown("[one] * two_three < four") == r"\[one\] \* two\_three &lt; four"


def test_signatures_keep_the_names_of_types():
    assert signature(nablax.adam).startswith("(learning_rate: ScalarOrSchedule, b1: float = 0.9")
    assert "mu_dtype=None, *, nesterov: bool = False)" in signature(nablax.adam)
