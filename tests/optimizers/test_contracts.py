"""What every optimizer promises, checked over the catalogue."""

import functools
import inspect
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue import HELPERS, NEEDS_PARAMS, OPTIMIZERS, PARTS, extras, square_sum
from devices import run_on
from nablax import optimizers
from nablax.core import ArgumentError, HyperparameterError, MissingParamsError

HERE = Path(__file__).parent
MAKERS = {**{name: functools.partial(make, 0.01) for name, make in OPTIMIZERS.items()}, **PARTS}


def _tree(kind):
    """Trees that together hold every kind of leaf; the mixed one also None, an empty leaf and a scalar."""
    if kind == "bfloat16":
        return {"w": jnp.full((2, 3), 0.5, jnp.bfloat16), "s": jnp.asarray(1.5, jnp.bfloat16)}
    return {
        "w": jnp.full((2, 3), 0.5),
        "half": jnp.full((3,), 0.5, jnp.float16),
        "z": jnp.full((3,), 1.0 + 0.5j, jnp.complex64),
        "none": None,
        "empty": jnp.zeros((0, 3)),
        "s": jnp.asarray(1.5),
    }


def _gradient(name, params):
    g = jax.tree.map(lambda p: 0.1 * p, params)
    return jax.tree.map(lambda x: jnp.stack([x, x]), g) if name == "dpsgd" else g


def _signature(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.asarray(x).dtype), tree)


def test_the_catalogue_holds_every_public_function():
    public = {n for n, f in vars(optimizers).items() if inspect.isfunction(f) and not n.startswith("_")}
    assert public == {*OPTIMIZERS, *PARTS, *HELPERS}


@pytest.mark.parametrize("kind", ["mixed", "bfloat16"])
@pytest.mark.parametrize("name", MAKERS)
def test_updates_look_like_params_and_states_scan(name, kind):
    tx, params = MAKERS[name](), _tree(kind)

    def run(params):
        def step(carry, _):
            params, state = carry
            more = extras(name, square_sum(params), square_sum)
            updates, state = tx.update(_gradient(name, params), state, params, **more)
            assert _signature(updates) == _signature(params)
            return (params, state), None

        return jax.lax.scan(step, (params, tx.init(params)), length=5)[0]

    jax.eval_shape(run, params)  # the scan refuses a state that changes its shape or dtype


@pytest.fixture(scope="module")
def wrong_on_two_devices():
    return run_on(2, HERE / "two_devices.py")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_five_steps_under_jit_vmap_and_shard_map(name, wrong_on_two_devices):
    assert name not in wrong_on_two_devices, wrong_on_two_devices[name]


@pytest.mark.parametrize("name", [n for n in MAKERS if n != "scale_by_muon"])  # that one stands within muon
def test_missing_params_are_asked_for_by_name(name):
    tx, params = MAKERS[name](), _tree("bfloat16")

    def update(g):
        return tx.update(g, tx.init(params), **extras(name, jnp.ones(()), square_sum))

    if name in NEEDS_PARAMS:
        with pytest.raises(MissingParamsError, match=rf"^(\w+/)*{name}(:| reads)"):
            jax.eval_shape(update, _gradient(name, params))
    else:
        jax.eval_shape(update, _gradient(name, params))


class _Unfit:
    """What no argument can be."""


_REQUIRED = {
    "learning_rate": 0.1, "l2_norm_clip": 1.0, "noise_multiplier": 1.0, "seed": 0,
    **dict.fromkeys(["base_optimizer", "optimizer", "adv_optimizer"], optimizers.sgd(0.1)),
}  # fmt: skip
_SIGNED = {
    "f_min", "lower_bound", "scale", "global_scale", "step_offset", "decay_offset", "seed", "learning_rate",
    "adam_learning_rate", "weight_decay", "weight_decay_rate", "adam_weight_decay", "scaling", "optimism", "momentum",
    "decay",
}  # fmt: skip
_POSITIVE = {("adafactor", "momentum"), ("sm3", "momentum"), ("mechanize", "weight_decay")}
_WEIGHTS = {"scale_by_optimistic_gradient", "optimistic_gradient_descent", "optimistic_adam_v2"}
_BOUNDS = {"max_learning_rate", "threshold", "clipping_threshold", "max_step_size", "clip_threshold"}


def _unfit(name, argument, hint):
    """Values that an argument cannot have, by its type hint and name."""
    yield _Unfit()
    if re.search("float|int|ScalarOrSchedule", hint) and "tuple" not in hint:
        yield from (math.nan, "0.1")
        signed = argument in _SIGNED and (name, argument) not in _POSITIVE
        if not signed and not (name in _WEIGHTS and argument in ("alpha", "beta")):
            yield from () if "bool" in hint else (-1, np.float32(-1))
        if argument not in _BOUNDS:
            yield from (math.inf, -math.inf, jnp.asarray(math.inf))
    if hint == "int":
        yield 2.5
    if "bool" in hint:
        yield "false"
    if hint == "bool":
        yield 2
    if argument.endswith("dtype") or argument == "dtype_momentum":
        yield from ("foo", jnp.int32)
    if argument.endswith("mask"):
        yield from ("abc", {"w": 2})


@pytest.mark.parametrize("name", [*OPTIMIZERS, *PARTS])
def test_what_an_argument_cannot_be_is_refused_in_the_functions_own_name(name):
    function = getattr(optimizers, name)
    parameters = inspect.signature(function).parameters
    required = {
        k: v for k, v in _REQUIRED.items() if k in parameters and parameters[k].default is parameters[k].empty
    }
    for argument, p in parameters.items():
        if argument != "batch_axis_name":  # whatever jax.lax.pmean takes
            hint = getattr(p.annotation, "__name__", str(p.annotation))
            for bad in _unfit(name, argument, hint):
                with pytest.raises((HyperparameterError, ArgumentError), match=rf"^{name}: {argument}\b"):
                    function(**{**required, argument: bad})


@pytest.mark.parametrize(
    "make",
    [
        lambda o: o.adamw(np.float32(0.1), jnp.asarray(0.9), weight_decay=abs, mask={"w": np.True_}, mu_dtype="half"),
        lambda o: o.adam(0, 0, b2=lambda count: 0.9, nesterov=np.False_),
        lambda o: o.polyak_sgd(max_learning_rate=math.inf),
        lambda o: o.adafactor(clipping_threshold=None, dtype_momentum=None, multiply_by_parameter_scale=1.0),
        lambda o: o.lars(0.1, weight_decay_mask=lambda params: params, trust_ratio_mask=False),
        lambda o: o.galore(0.1, rank=np.int64(2)),
        lambda o: o.prodigy(betas=[0.9, 0.99], beta3=None),
        lambda o: o.noisy_sgd(0.1, key=jax.random.PRNGKey(0)),
        lambda o: o.dpsgd(0.1, 1.0, 1.0, jax.random.key(0)),
        lambda o: o.sophia(0.1, clip_threshold=None),
        lambda o: jax.make_jaxpr(lambda x: o.adamw(x, x, x, x, x).init(x))(jnp.asarray(0.1)),
    ],
)  # fmt: skip
def test_what_optaxs_users_pass_is_taken(make):
    make(optimizers)


@pytest.mark.parametrize("name", [*OPTIMIZERS, *PARTS, *sorted(HELPERS)])
def test_the_docstring_has_a_source_and_every_argument(name):
    function = getattr(optimizers, name)
    doc = inspect.getdoc(function)
    assert "Source" in doc
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"\b{argument}\b", doc), argument
