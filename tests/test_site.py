"""The documentation site: every public name is in the reference; equations and docstrings come out as meant."""

import re
from pathlib import Path

import pytest

import nablax
from _site import names, reference
from _site.docstrings import markdown
from _site.equations import NotAnEquation, is_equation, latex
from _site.signatures import signature

DOCS = Path(__file__).parent.parent / "docs"
HEADS = sorted((Path(nablax.__file__).parent / "optimizers").glob("_*.py"))
ENTRY = re.compile(r"^`+\{py:\w+\} (\w+)|^\| \{listed\}`[\w.]+\.(\w+) <", re.MULTILINE)


@pytest.mark.parametrize("module", names.MODULES)
def test_every_public_name_is_in_the_reference_once(module):
    page = DOCS / "reference" / f"{module.removeprefix('nablax.')}.md"
    listed = [a or b for a, b in ENTRY.findall(reference.expand(page.read_text()))]
    assert {name for name in listed if name != "nablax"} >= set(names.public(module))
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


def test_docstrings_become_lists_and_links():
    text = markdown(nablax.adamw.__doc__.replace("\n    ", "\n"))
    assert "**Arguments**" in text
    assert "- **weight\\_decay**: multiplied by the learning rate, as in PyTorch." in text
    assert "[arXiv:1711.05101](https://arxiv.org/abs/1711.05101)" in text
    assert "```pycon" in markdown(nablax.adam.__doc__.replace("\n    ", "\n"))
    assert markdown("a * b < c and x_1") == r"a \* b &lt; c and x\_1"


def test_signatures_keep_the_names_of_types():
    assert signature(nablax.adam).startswith("(learning_rate: ScalarOrSchedule, b1: float = 0.9")
    assert "mu_dtype=None, *, nesterov: bool = False)" in signature(nablax.adam)
