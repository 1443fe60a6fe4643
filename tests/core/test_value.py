"""A transformation is a value: it compares, copies, pickles and prints as the call that made it."""

import copy
import dataclasses
import functools
import multiprocessing
import pickle
from typing import Any, NamedTuple

import cloudpickle
import equinox as eqx
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import joblib
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

import nablax
import nablax.optax
from catalogue import OPTIMIZERS, PARTS
from nablax import core, games, transforms
from nablax.core import chain, named_chain
from nablax.optimizers import adam, adamw, sgd

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.arange(3.0)}


def by_rank(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


VALUES = {
    **{name: functools.partial(make, 0.1) for name, make in OPTIMIZERS.items()},
    **PARTS,
    "chain": lambda: chain(transforms.clip(1.0), adamw(0.1, mask=by_rank)),
    "named_chain": lambda: named_chain(("clip", transforms.clip(1.0)), ("step", adam(0.1))),
    "MultiSteps": lambda: transforms.MultiSteps(adam(0.1), 3),
    "masked": lambda: transforms.masked(adam(0.1), by_rank),
    "partition": lambda: transforms.partition({"a": adam(0.1), "b": sgd(0.1)}, {"w": "a", "b": "b"}),
    "partition_by_path": lambda: transforms.partition_by_path({"w": adam(0.1), ".*": sgd(0.1)}),
    "inject_hyperparams": lambda: transforms.inject_hyperparams(adam)(0.1),
    "lookahead": lambda: transforms.lookahead(sgd(0.1), 2, 0.5),
    "lbfgs": lambda: nablax.lbfgs(),
    "extragradient": lambda: games.extragradient(base=adam(0.1)),
}


@pytest.mark.parametrize("name", VALUES)
def test_two_calls_alike_are_equal_and_copies_are(name):
    tx = VALUES[name]()
    others = [
        VALUES[name](),
        copy.copy(tx),
        copy.deepcopy(tx),
        pickle.loads(pickle.dumps(tx)),
        cloudpickle.loads(cloudpickle.dumps(tx)),
        jax.tree.map(lambda x: x, tx),
        type(tx)(*tx),
        tx._replace(),
    ]
    for other in others:
        assert other == tx
        assert hash(other) == hash(tx)
        assert type(other) is type(tx)
        assert other.arguments == tx.arguments or name in ("inject_hyperparams",)
    init, update = tx
    assert (init, update) == (tx.init, tx.update)
    assert len({tx, *others}) == 1


@pytest.mark.parametrize(
    "name", ["adamw", "chain", "masked", "MultiSteps", "partition", "inject_hyperparams"]
)
def test_a_copy_continues_the_same_run(name):
    tx = VALUES[name]()
    state = tx.init(PARAMS)
    _, state = tx.update(PARAMS, state, PARAMS)
    expected = tx.update(PARAMS, state, PARAMS)
    for other in (copy.deepcopy(tx), pickle.loads(pickle.dumps(tx)), jax.tree.map(lambda x: x, tx)):
        jax.tree.map(np.testing.assert_array_equal, other.update(PARAMS, state, PARAMS), expected)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (adam(0.1), adam(0.2)),
        (adam(0.1), adamw(0.1)),
        (adam(0.1), adam(1e-1, nesterov=True)),
        (sgd(1), sgd(1.0)),
        (sgd(0.0), sgd(-0.0)),
        (adam(0.1), chain(adam(0.1))),
        (transforms.scale(jnp.ones(3)), transforms.scale(2 * jnp.ones(3))),
        (adam(0.1), optax.adam(0.1)),
    ],
)
def test_other_calls_are_not_equal(a, b):
    assert a != b
    assert hash(a) != hash(b)


def test_a_static_argument_compiles_once():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def step(tx, g):
        traces.append(tx)
        return tx.update(g, tx.init(g), g)[0]

    for _ in range(2):
        step(adamw(1e-3), PARAMS)
        step(chain(transforms.clip(1.0), adam(jnp.float32(1e-3))), PARAMS)
    assert len(traces) == 2


@pytest.mark.parametrize(
    ("tx", "shown"),
    [
        (adam(1e-3), "adam(0.001)"),
        (adamw(1e-3, weight_decay=0.1, nesterov=True), "adamw(0.001, weight_decay=0.1, nesterov=True)"),
        (chain(transforms.clip(1.0), sgd(0.1, 0.9)), "chain(clip(1.0), sgd(0.1, momentum=0.9))"),
        (adamw(0.1, mask=by_rank), "adamw(0.1, mask=by_rank)"),
        (transforms.MultiSteps(adam(0.1), 3), "MultiSteps(adam(0.1), 3)"),
        (
            transforms.partition({"a": sgd(0.1)}, {"w": "a"}),
            "partition({'a': sgd(0.1)}, {'w': 'a'})",
        ),
    ],
)
def test_it_prints_as_the_call(tx, shown):
    assert repr(tx) == shown


def test_replace_makes_the_call_again():
    tx = adamw(0.1, b1=0.5)
    assert tx.replace(learning_rate=0.2) == adamw(0.2, b1=0.5)
    with pytest.raises(core.HyperparameterError, match=r"adamw: b1 must lie in \[0, 1\)"):
        tx.replace(b1=2.0)
    with pytest.raises(
        core.ArgumentError, match="adamw.replace: no argument is called .lr.; did you mean learning_rate"
    ):
        tx.replace(lr=0.1)
    seen = jax.jit(lambda lr: tx.replace(learning_rate=lr).update(PARAMS, tx.init(PARAMS), PARAMS)[0])(0.3)
    expected = adamw(0.3, b1=0.5).update(PARAMS, tx.init(PARAMS), PARAMS)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), seen, expected)


def test_a_replaced_half_is_a_pair_of_functions():
    tx = adam(0.1)._replace(update=lambda g, s, p=None: (g, s))
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    assert updates is PARAMS
    assert tx != adam(0.1)
    assert tx.call is None
    assert core.hyperparams(tx) == {}
    chain(tx, sgd(1.0)).init(PARAMS)


class Config(NamedTuple):
    tx: Any
    steps: int


@dataclasses.dataclass(frozen=True)
class Settings:
    tx: Any
    name: str = "run"


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Node:
    tx: Any
    x: Any


class Module(eqx.Module):
    tx: Any
    w: jax.Array


def test_containers_that_hold_one():
    tx = chain(transforms.clip(1.0), adam(0.1))
    assert dataclasses.asdict(Settings(tx))["tx"] == tx
    assert dataclasses.replace(Settings(tx), name="other").tx is tx
    assert copy.deepcopy(Config(tx, 3)) == Config(tx, 3)
    node = jax.tree.map(lambda x: x, Node(tx, jnp.ones(2)))
    assert node.tx == tx
    module = Module(tx, jnp.ones(2))
    arrays, rest = eqx.partition(module, eqx.is_array)
    assert eqx.combine(arrays, rest).tx == tx
    assert float(eqx.filter_jit(lambda m: m.tx.update(m.w, m.tx.init(m.w))[0].sum())(module)) < 0


def test_clients_that_hold_one_are_copied():
    state = TrainState.create(apply_fn=by_rank, params=PARAMS, tx=adam(0.1))
    other = copy.deepcopy(state).apply_gradients(grads=PARAMS)
    np.testing.assert_array_equal(other.params["b"], state.apply_gradients(grads=PARAMS).params["b"])
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, adam(0.1), wrt=nnx.Param)
    assert copy.deepcopy(optimizer).tx == optimizer.tx


def _one_step(tx):
    return np.asarray(tx.update(jnp.ones(2), tx.init(jnp.ones(2)))[0])


def test_workers_get_them():
    txs = [adam(0.1), chain(transforms.clip(0.5), sgd(0.2))]
    expected = [_one_step(tx) for tx in txs]
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_one_step)(tx) for tx in txs)
    np.testing.assert_array_equal(found, expected)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.map(_one_step, txs), expected)
        pool.close()
        pool.join()


def test_names_come_from_the_calls_also_in_functions_of_the_user():
    def my_optimizer(lr):
        return chain(transforms.clip(1.0), adamw(lr))

    assert list(core.hyperparams(my_optimizer(0.1)))[:2] == ["clip/max_delta", "adamw/learning_rate"]
    assert list(my_optimizer(0.1).children) == ["clip", "adamw"]


def test_they_are_optaxs_types_where_optax_is_loaded():
    for tx in (
        adam(0.1),
        chain(adam(0.1)),
        transforms.masked(adam(0.1), True),
        transforms.MultiSteps(sgd(0.1), 2),
    ):
        assert isinstance(tx, optax.GradientTransformationExtraArgs)
        assert isinstance(tx, core.GradientTransformationExtraArgs)
    pair = nablax.optax.GradientTransformation(adam(0.1).init, adam(0.1).update)
    assert isinstance(pair, optax.GradientTransformation)
    assert not isinstance(pair, optax.GradientTransformationExtraArgs)
    assert isinstance(nablax.optax.stateless(lambda u, p: u), optax.GradientTransformation)

    class Mine(nablax.optax.GradientTransformationExtraArgs):
        pass

    assert type(Mine(*adam(0.1))) is Mine

    @functools.singledispatch
    def kind(x):
        return "other"

    kind.register(nablax.optax.GradientTransformation, lambda x: "transformation")
    assert kind(adam(0.1)) == kind(pair) == "transformation"


def test_nothing_looks_at_the_call_stack():
    source = "\n".join(p.read_text() for p in (__import__("pathlib").Path(core.__file__).parent).glob("*.py"))
    assert "_getframe" not in source
    assert "currentframe" not in source


def test_a_function_that_was_sent_by_value_still_knows_what_is_missing():
    @core.checked()
    def mine(rate, b=0.1):
        return chain(transforms.scale(b))

    sent = pickle.loads(cloudpickle.dumps(mine))
    assert sent is not mine
    assert sent(0.1) is not None
    with pytest.raises(TypeError, match="mine: missing a required argument: 'rate'"):
        sent()
    assert copy.deepcopy(core.MISSING) is core.MISSING
