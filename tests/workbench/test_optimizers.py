"""The tables of optimizers and schedules, and what the command line may say of them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
import nablax.optimizers
import nablax.schedules
from nablax import linesearch
from nablax.core import ArgumentError, HyperparameterError, NablaxError, with_extra_args_support
from nablax.workbench import _catalogue
from nablax.workbench._catalogue import OPTIMIZERS, SCHEDULES, nearest, parse, parse_rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_has_a_line_and_takes_a_step(name):
    assert len(_catalogue.describe(name)) > 10
    parameters = list(inspect.signature(OPTIMIZERS[name]).parameters.values())
    if any(p.default is p.empty for p in parameters[1:]):
        with pytest.raises(ArgumentError, match="needs"):
            parse(name)
        return
    tx = with_extra_args_support(parse(name).build(0.1, 10))
    params = jnp.ones((2, 2))

    def step(params):
        extra = {"value": 1.0, "grad": params, "value_fn": jnp.sum}
        extra = {"obj_fn": jnp.sum} if name == "sophia" else extra
        return tx.update(params, tx.init(params), params, **extra)[0]

    update = jax.jit(step)(params)
    assert update.shape == params.shape
    assert jnp.all(jnp.isfinite(update))


def test_the_table_holds_what_everybody_expects():
    assert {"sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion"} <= set(OPTIMIZERS)
    assert not any(name.startswith("scale_by") for name in OPTIMIZERS)
    assert set(_catalogue.DEFAULT_OPTIMIZERS) <= set(OPTIMIZERS)


def test_every_public_optimizer_is_in_the_table():
    from catalogue import OPTIMIZERS as public

    assert set(public) - set(OPTIMIZERS) <= {
        "schedule_free"
    }  # which schedule_free_sgd and _adamw are made of
    assert set(OPTIMIZERS) - set(public) == {"lbfgs"}
    for name, optimizer in OPTIMIZERS.items():
        found = getattr(nablax.optimizers, name, None) or getattr(linesearch, name)
        if next(iter(inspect.signature(found).parameters)) == "learning_rate":
            assert optimizer is found


def test_family_and_state_are_those_of_the_optimizer():
    assert _catalogue.family("nadamw") == _catalogue.family("adam") == "adam"
    assert _catalogue.family("sam") == "sam"
    assert _catalogue.state_bytes("sgd") == 0
    assert _catalogue.state_bytes("adamw") == pytest.approx(8, abs=0.01)
    assert _catalogue.state_bytes("adafactor") < 0.1  # rows and columns of the kernel
    assert _catalogue.state_bytes("lbfgs") > 80  # 2 x 10 pairs and more, 4 bytes each
    assert _catalogue.state_bytes("dpsgd") is None  # it has to be told more than a rate


def test_a_recipe_prints_as_the_call_that_makes_it():
    built = parse("sam:rho=0.1").build(0.5, 10)
    assert repr(built) == "sam(sgd(0.5), chain(normalize(), sgd(0.1)))"
    assert built == nablax.optimizers.sam(
        nablax.optimizers.sgd(0.5), nablax.chain(nablax.normalize(), nablax.sgd(0.1))
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_schedule_has_a_line_and_is_a_shape_or_says_why_not(name):
    assert SCHEDULES[name] is getattr(nablax.schedules, name)
    assert len(_catalogue.describe_schedule(name)) > 10
    if name in {"join_schedules", "sgdr_schedule", "piecewise_interpolate_schedule"}:
        with pytest.raises(ArgumentError, match="also needs"):
            _catalogue.resolve_name(name)
        return
    full = _catalogue.resolve_name(name)
    values = np.asarray(jax.vmap(_catalogue.shape(full, 100))(jnp.arange(101)))
    assert np.isclose(values.max(), 1.0), name
    assert values.min() >= 0


def test_values_are_literals():
    spec = parse("adamw:weight_decay=1e-2,b1=0.8,mu_dtype=bfloat16,nesterov=True")
    assert spec.options == {"weight_decay": 0.01, "b1": 0.8, "mu_dtype": "bfloat16", "nesterov": True}
    assert parse("adam:nesterov=false").options == {"nesterov": False}
    assert parse("sgd:momentum=none").options == {"momentum": None}
    assert parse("adam: b1=0.5").options == {"b1": 0.5}
    assert parse("adam").options == {}


def test_a_schedule_multiplies_the_rate():
    spec = parse("sgd:schedule=cosine")
    assert spec.schedule == "cosine_decay_schedule"
    tx = spec.build(0.5, 4)
    state, moved = tx.init(jnp.zeros(())), []
    for _ in range(5):
        update, state = tx.update(jnp.ones(()), state)
        moved.append(float(update))
    np.testing.assert_allclose(moved, [-0.25 * (1 + np.cos(np.pi * t / 4)) for t in range(5)], atol=1e-7)
    assert parse("sgd:schedule=warmup_cosine").schedule == "warmup_cosine_decay_schedule"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adamm", r"no optimizer 'adamm'; did you mean adam"),
        ("zzz", r"choose from acprop, adabelief"),
        ("adam:beta1=0.8", r"adam takes no beta1; it is adam\(learning_rate, b1=0.9, b2=0.999"),
        ("adam:b1", r"expected key=value, got 'b1'"),
        ("adam:b1=0.1,b1=0.2", r"b1 is given twice"),
        ("adam:b1=1.5", r"b1 must lie in \[0, 1\), got 1.5"),
        ("adam:b1=big", r"b1 must be a real number"),
        ("adam:nesterov=no", r"nesterov must be true or false, got 'no'"),
        ("adam:eps=1e999", r"eps must be finite, got inf"),
        ("adam:learning_rate=1", r"set by --lr"),
        ("adam:schedule=cosin", r"no schedule 'cosin'; did you mean cosine"),
        ("adam:schedule=sgdr", r"it also needs cosine_kwargs"),
    ],
)
def test_bad_optimizers_are_refused_in_one_line(text, message):
    with pytest.raises(NablaxError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_rates():
    assert parse_rates(["1e-4:1:5", "0.5,0.01"]) == [0.0001, 0.001, 0.01, 0.1, 0.5, 1.0]
    assert parse_rates(["0.1 0.2", "0.1"]) == [0.1, 0.2]


@pytest.mark.parametrize(
    "text", ["-1", "0", "nan", "inf", "fast", "1:2", "1:2:1", "1:-2:3", "1:2:3:4", ",", "1e999"]
)
def test_bad_rates_are_refused(text):
    with pytest.raises(HyperparameterError, match="--lr"):
        parse_rates([text])


def test_nearest_names():
    assert nearest("breast_cancer", ["breast-cancer", "digits"]) == "did you mean breast-cancer?"
