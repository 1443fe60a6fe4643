"""Optax's private modules, which programs import all the same: `optax._src.base`, `optax.contrib._muon`, ...

A table instead of fifty files: each module of a line hands out every public name of the line's namespaces, and what
`_ONLY_THERE` has for it. Names that begin with an underscore are not served.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from inspect import ismodule
from types import ModuleType
from typing import Any

import jax

from nablax import core, optimizers, transforms
from nablax.optax import _deprecated
from nablax.schedules import WrappedScheduleState

# Package: (the namespaces that its modules draw from, the first one first; the modules).
_TABLE: dict[str, tuple[tuple[str, ...], str]] = {
    "_src": (
        ("", "transforms", "schedules"),
        "alias base combine constrain deprecations factorized linear_algebra linesearch lookahead numerics schedule "
        "transform update utils wrappers",
    ),
    "assignment": (("assignment",), "_hungarian_algorithm"),
    "contrib": (
        ("contrib",),
        "_acprop _ademamix _adopt _cocob _complex_valued _dadapt_adamw _dog _galore _madgrad _mechanic _momo _muon "
        "_privacy _prodigy _reduce_on_plateau _sam _schedule_free _sophia",
    ),
    "experimental": (("experimental.aggregating",), "_aggregating"),
    "losses": (
        ("losses",),
        "_classification _fenchel_young _ranking _regression _segmentation _self_supervised _smoothing",
    ),
    "microbatching": (("microbatching",), "_microbatching"),
    "perturbations": (("perturbations",), "_make_pert"),
    "projections": (("projections",), "_projections"),
    "schedules": (("schedules",), "_inject _join _schedule"),
    "second_order": (("second_order",), "_deprecated"),
    "transforms": (
        ("transforms", ""),
        "_accumulation _adding _clipping _combining _conditionality _constraining _freezing _layouts _masking "
        "_monitoring",
    ),
    "tree_utils": (("tree_utils",), "_casting _random _state_utils _tree_math"),
}


def _canonicalize_dtype(dtype: Any) -> Any:
    """The dtype that JAX computes in for `dtype`, 32 bits unless x64 is enabled; None stays None."""
    return None if dtype is None else jax.dtypes.canonicalize_dtype(dtype)


# What is public in a private module of Optax and in no public one, as far as it is here.
_ONLY_THERE: dict[str, dict[str, Any]] = {
    "_src.base": {
        "ArrayTree": core.Params,
        "NO_PARAMS_MSG": "This transformation reads the parameters: call update(updates, state, params).",
        "PRNGKey": jax.Array,
        "PyTree": Any,
        "ScheduleState": Any,
    },
    "_src.deprecations": {
        "deprecation_getattr": _deprecated.deprecation_getattr,
        "warn_deprecated_function": _deprecated.warn_deprecated_function,
    },
    "_src.numerics": {"abs_sq": core.abs_sq},
    "_src.transform": {
        "ScaleByRmsWithCountState": optimizers.ScaleByRmsWithCountState,
        "ScaleByRStdDevWithCountState": optimizers.ScaleByRStdDevWithCountState,
        "abs_sq": core.abs_sq,
    },
    "_src.utils": {"canonicalize_dtype": _canonicalize_dtype},
    "contrib._ademamix": {"lerp": core.lerp},
    "contrib._complex_valued": {"SplitRealAndImaginaryArrays": transforms.SplitRealAndImaginaryArrays},
    "contrib._muon": {"orthogonalize_via_newton_schulz": optimizers.orthogonalize_via_newton_schulz},
    "schedules._inject": {"WrappedScheduleState": WrappedScheduleState},
}


def _add(name: str, names: dict[str, Any], is_package: bool = False) -> None:
    """Makes a module and hangs it into the package above."""
    module = module_from_spec(ModuleSpec(name, None, is_package=is_package))
    module.__doc__ = f"The names of Optax's `{name.removeprefix('nablax.')}`."
    vars(module).update(names)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    setattr(sys.modules[parent], last, module)


def install(face: ModuleType) -> None:
    """Adds the modules of the table to `face`, whose public namespaces are complete."""
    _add(f"{face.__name__}._src", {}, is_package=True)
    for package, (namespaces, modules) in _TABLE.items():
        names: dict[str, Any] = {}
        for namespace in reversed(namespaces):
            public = vars(sys.modules[f"{face.__name__}.{namespace}".rstrip(".")])
            names.update({n: v for n, v in public.items() if n[0] != "_" and not ismodule(v)})
        for module in modules.split():
            own = _ONLY_THERE.get(f"{package}.{module}", {})
            _add(f"{face.__name__}.{package}.{module}", names | own)
