"""States have the layout of Optax's: classes, fields, nesting and shapes, so that its checkpoints can be restored."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.optax as ours

PARAMS = {"w": jnp.ones((3, 4)), "b": jnp.ones(3)}
DOCUMENTED = {"scale_by_distance_over_gradients"}  # scalars keep shape (): docs/differences.md


def layout(state):
    if hasattr(state, "_fields"):
        return type(state).__name__, *((f, layout(getattr(state, f))) for f in state._fields)
    if isinstance(state, tuple | list):
        return "tuple", *map(layout, state)
    if isinstance(state, dict):
        return "dict", *((k, layout(v)) for k, v in sorted(state.items(), key=str))
    return jnp.shape(state)


def makers():
    for module in ("", "contrib"):
        mine, theirs = (getattr(o, module) if module else o for o in (ours, optax))
        for name, make in sorted(vars(theirs).items()):
            if not inspect.isfunction(make) or name[0] == "_" or name in DOCUMENTED:
                continue
            needed = [
                k
                for k, p in inspect.signature(make).parameters.items()
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
            ]
            if needed in ([], ["learning_rate"]) and hasattr(mine, name):
                yield f"{module}.{name}".lstrip("."), getattr(mine, name), make


MAKERS = list(makers())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rate", [0.1, lambda count: 0.1], ids=["number", "schedule"])
@pytest.mark.parametrize(("name", "mine", "theirs"), MAKERS, ids=[name for name, _, _ in MAKERS])
def test_layout(name, mine, theirs, rate):
    given = {"learning_rate": rate} if "learning_rate" in inspect.signature(theirs).parameters else {}
    try:
        expected = theirs(**given).init(PARAMS)
    except Exception:  # takes no schedule, or is no transformation
        pytest.skip("nothing to compare with")
    assert layout(mine(**given).init(PARAMS)) == layout(expected)


def test_there_is_something_to_compare():
    assert len(MAKERS) > 60


@pytest.mark.parametrize("chosen", ["w1", "w2"])
def test_layout_of_muon_with_a_prefix_of_dimension_numbers(chosen):
    params = {w: {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 3))} for w in ("w1", "w2")}
    layouts, updates = [], []
    for o in (ours, optax):
        numbers = {w: o.contrib.MuonDimensionNumbers() if w == chosen else None for w in params}
        tx = o.contrib.muon(0.1, muon_weight_dimension_numbers=numbers)
        state = tx.init(params)
        layouts.append(layout(state))
        updates.append(tx.update(params, state, params)[0])
    assert layouts[0] == layouts[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *updates)
