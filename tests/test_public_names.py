"""The table of contents names everything, and `import nablax` stays light."""

import importlib
import inspect
import subprocess
import sys

import pytest

import nablax

ALL_WINGS = [
    "assignment", "autograd", "core", "distributed", "games", "linesearch", "losses", "optax", "optimizers",
    "perturbations", "projections", "runtime", "schedules", "second_order", "transforms", "tree", "workbench",
]  # fmt: skip


@pytest.mark.parametrize("wing", ALL_WINGS)
def test_every_wing_is_an_attribute(wing):
    assert getattr(nablax, wing) is importlib.import_module(f"nablax.{wing}")
    assert wing in dir(nablax)


def test_every_wing_is_one_before_anybody_imports_it():
    code = f"""
import nablax
first, missing = set(vars(nablax)), []
for name in {[*ALL_WINGS, "lbfgs", "minimize", "extragradient", "nupi"]!r}:
    for later in set(vars(nablax)) - first:
        delattr(nablax, later)
    missing += [] if hasattr(nablax, name) else [name]
print(missing)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("wing", ["transforms", "optimizers"])
def test_every_transformation_is_in_the_table_of_contents(wing):
    module = importlib.import_module(f"nablax.{wing}")
    public = {n for n, o in vars(module).items() if inspect.isfunction(o) and not n.startswith("_")}
    assert not {n for n in public if getattr(nablax, n, None) is not getattr(module, n)}


def test_unknown_names_raise():
    with pytest.raises(AttributeError, match="nablax has no attribute 'adamm'"):
        _ = nablax.adamm


def test_import_loads_no_wing_that_is_not_needed_and_nothing_of_the_extras():
    extras = ["optax", "flax", "matplotlib", "sklearn", "rich", "click", "scipy.optimize"]
    wings = ["autograd", "games", "perturbations", "workbench", "optax", "linesearch"]
    unwanted = extras + [f"nablax.{wing}" for wing in wings]
    code = f"import sys, nablax; print([m for m in sys.modules if m in {unwanted!r}])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
