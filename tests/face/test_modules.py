"""The private modules of the installed Optax: all are there, and serve the public names that they define."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax.optax import _private


def private_modules():
    """Names below `optax`, without those of tests. `_src` is no package to pkgutil: it has no `__init__`."""
    walked = {m.name.removeprefix("optax.") for m in pkgutil.walk_packages(optax.__path__, "optax.")}
    walked |= {f"_src.{m.name}" for m in pkgutil.iter_modules([str(Path(optax.__path__[0]) / "_src")])}
    return sorted(n for n in walked if "._" in f".{n}" and not n.endswith(("_test", "test_utils")))


def ours(name):
    return importlib.import_module(f"nablax.optax.{name}".rstrip("."))


def defined(name):
    """The public functions and classes that a module of Optax defines."""
    module = importlib.import_module(f"optax.{name}")
    return {
        n
        for n, v in vars(module).items()
        if n[0] != "_" and (inspect.isfunction(v) or inspect.isclass(v)) and v.__module__ == module.__name__
    }


PUBLIC = ["", "experimental.aggregating", *(n for n in _private._TABLE if n[0] != "_"), "tree"]
HAVE = {
    n for space in PUBLIC for n, v in vars(ours(space)).items() if n[0] != "_" and not inspect.ismodule(v)
}
# What nablax has no public object for: debugging aids, types for annotations, parts of optimizers.
NOT_HERE = {
    "_src.linear_algebra": "get_spectral_radius_upper_bound",
    "_src.linesearch": "BacktrackingLineSearchState BacktrackingLinesearchInfo ZoomLinesearchState zoom_linesearch",
    "_src.transform": "ScaleByDistanceOverGradientsState ScaleByOptimisticGradientState",
    "_src.utils": "MultiNormalDiagFromLogScale canonicalize_key check_rank check_shapes_equal check_subdtype set_diags "
    "tile_second_to_last_dim x64_precision",
    "contrib._dog": "scale_by_dog scale_by_dowg",
    "contrib._muon": "scale_by_shape",
    "contrib._sophia": "scale_by_sophia",
    "losses._classification": "binary_logistic_loss binary_sparsemax_loss canonicalize_axes canonicalize_axis "
    "multiclass_logistic_loss",
    "losses._fenchel_young": "MaxFun",
    "microbatching._microbatching": "IndividualOutputs",
    "second_order._deprecated": "LossFn",
    "transforms._adding": "WeightDecaySchedule",
    "tree_utils._state_utils": "Initable",
}


def test_the_table_has_every_private_module_and_no_other():
    table = {f"{package}.{m}" for package, (_, modules) in _private._TABLE.items() for m in modules.split()}
    assert sorted(table) == private_modules()


@pytest.mark.parametrize("name", private_modules())
def test_a_private_module_serves_the_public_names_it_defines(name):
    served = set(dir(ours(name)))
    assert defined(name) & HAVE <= served
    assert sorted(defined(name) - served) == NOT_HERE.get(name, "").split()


@pytest.mark.parametrize("name", private_modules())
def test_a_name_is_the_object_of_the_public_module(name):
    package = name.rpartition(".")[0].replace("_src", "")
    for n in defined(name) & set(vars(ours(package))):
        assert getattr(ours(name), n) is getattr(ours(package), n)


def test_ways_to_import():
    import nablax.optax._src.base as base
    import nablax.optax.contrib._muon
    from nablax.optax._src import base as again
    from nablax.optax._src.utils import canonicalize_dtype
    from nablax.optax.transforms._masking import MaskedNode

    from nablax.optax.contrib import _muon

    assert base is again is nablax.optax._src.base
    assert base.GradientTransformation is nablax.optax.GradientTransformation
    assert (
        _muon.scale_by_muon is nablax.optax.contrib._muon.scale_by_muon is nablax.optax.contrib.scale_by_muon
    )
    assert MaskedNode is nablax.optax.MaskedNode
    assert canonicalize_dtype(None) is None
    assert canonicalize_dtype("float64") == "float32"
    assert isinstance(base.NO_PARAMS_MSG, str)
    assert importlib.util.find_spec("nablax.optax._src.alias") is not None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nablax.optax._src.clippings")
    with pytest.raises(AttributeError):
        _ = base.adamm


MATRICES = [((4, 3), 0, 1), ((3, 4), 0, 1), ((2, 3, 5), 1, 2), ((3, 2, 4), (0, 1), 2)]


@pytest.mark.parametrize("preconditioning", ["frobenius", "spectral", "aol", "schatten"])
@pytest.mark.parametrize(("shape", "inputs", "outputs"), MATRICES)
@pytest.mark.parametrize("coefficients", [[3.4445, -4.7750, 2.0315], [[3.0, -4.0, 2.0], [2.0, -1.5, 0.5]]])
def test_orthogonalize_via_newton_schulz(preconditioning, shape, inputs, outputs, coefficients):
    x = jax.random.normal(jax.random.key(0), shape)
    results = []
    for module in (ours("contrib._muon"), importlib.import_module("optax.contrib._muon")):
        numbers = None if len(shape) == 2 else module.MuonDimensionNumbers(inputs, outputs)
        results.append(
            module.orthogonalize_via_newton_schulz(
                x, jnp.array(coefficients), 5, preconditioning, dimension_numbers=numbers
            )
        )
    np.testing.assert_allclose(*results, atol=2e-4)


def test_orthogonalize_via_newton_schulz_refuses_what_is_no_matrix():
    orthogonalize = ours("contrib._muon").orthogonalize_via_newton_schulz
    for x, coefficients, kwargs in (
        (jnp.ones(3), jnp.ones(3), {}),
        (jnp.ones((2, 2)), jnp.ones((2, 2)), {}),
        (jnp.ones((2, 2)), jnp.ones(3), {"preconditioning": "none"}),
    ):
        with pytest.raises(ValueError, match="orthogonalize_via_newton_schulz: "):
            orthogonalize(x, coefficients, **kwargs)


def test_import_warns_of_nothing():
    code = (
        "import nablax.optax as o, nablax.optax._src.alias, nablax.optax.contrib._sam; print(o.__version__)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (run.stdout.strip(), run.stderr) == (optax.__version__, "")
