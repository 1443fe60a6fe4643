"""Sharded states on eight forced CPU devices.

A script: `test_sharding.py` runs it in a process of its own. It prints, as JSON, what went wrong, by the check's name;
"" where nothing did.
"""

import collections
import json
import re
import sys
import tempfile
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import contexts
import nablax

CHECKS = {}
MESH = EXPLICIT = None
LARGE = {"w": jnp.linspace(-1, 1, 2048 * 1024).reshape(2048, 1024), "b": jnp.linspace(0, 1, 1024)}
SMALL = {"w": jnp.linspace(-1, 1, 64 * 32).reshape(64, 32), "b": jnp.linspace(0, 1, 32)}
BATCH = jnp.linspace(-1, 1, 64 * 64).reshape(64, 64)


def check(fn):
    CHECKS[fn.__name__] = fn
    return fn


def everywhere(params, mesh=None):
    return jax.device_put(jax.tree.map(jnp.copy, params), NamedSharding(mesh or MESH, P()))


def bytes_on(tree, device):
    return sum(
        s.data.nbytes for x in jax.tree.leaves(tree) for s in x.addressable_shards if s.device == device
    )


def loss(params, x):
    return jnp.mean(jnp.tanh(x @ params["w"] + params["b"]) ** 2)


def batch(mesh=None):
    return jax.device_put(BATCH, NamedSharding(mesh or MESH, P("data")))


def loop(tx, params, steps=3):
    """The user's own step, jitted and nothing else; returns it, too."""

    @jax.jit
    def step(params, state, x):
        updates, state = tx.update(jax.grad(loss)(params, x), state, params)
        return nablax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state, batch())
    return params, state, step


def equal(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def kinds(text):
    return collections.Counter(re.findall(r" (all-gather|all-reduce|all-to-all|reduce-scatter)\(", text))


def refused(error, words, fn):
    with pytest.raises(error, match=re.escape(words)):
        fn()


def close(found, wanted, what):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-7, err_msg=what), found, wanted)


@check
def an_eighth_of_the_state_lies_on_each_device():
    replicated = nablax.adam(1e-3).init(everywhere(LARGE))
    state = nablax.shard_state(nablax.adam(1e-3), MESH).init(LARGE)
    for device in jax.devices():
        moments = bytes_on(replicated[0].mu, device) + bytes_on(replicated[0].nu, device)
        assert round(moments / 1e6, 2) == 16.79
        assert round(bytes_on(state, device) / 1e6, 2) == 2.10
    assert jax.tree.structure(state) == jax.tree.structure(replicated)


@check
def init_places_every_array_eagerly_and_under_jit():
    tx = nablax.shard_state(nablax.adam(1e-3), MESH)
    wanted = nablax.state_shardings(nablax.adam(1e-3), SMALL, MESH)
    for state in (tx.init(SMALL), jax.jit(tx.init)(SMALL)):
        for x, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
            assert x.sharding.is_equivalent_to(sharding, x.ndim)
            assert x.committed
    assert wanted[0].mu["w"].spec == P("data")
    assert wanted[0].count.spec == P()


@check
def a_jitted_step_equals_replicated_data_parallel_bit_for_bit():
    tx = nablax.adamw(1e-2)
    params, state, _ = loop(tx, everywhere(SMALL))
    sharded, spread, step = loop(nablax.shard_state(tx, MESH), everywhere(SMALL))
    equal((params, state), (sharded, spread))
    assert step._cache_size() == 1
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(sharded))
    assert spread[0].nu["w"].sharding.spec == P("data")


@check
def an_update_constrains_gradients_state_and_parameters():
    tx = nablax.shard_state(nablax.adamw(1e-2), MESH)
    params = everywhere(SMALL)
    jaxpr = jax.make_jaxpr(tx.update)(params, tx.init(params), params).jaxpr
    constrained = {
        e.invars[0]: e.params["sharding"].spec
        for e in jaxpr.eqns
        if e.primitive.name == "sharding_constraint"
    }
    large = [v for v in jaxpr.invars if v.aval.shape]
    assert len(large) == 8  # gradients, two moments and parameters, of two leaves each
    assert {constrained.get(v) for v in large} == {P("data")}


@check
def it_composes_with_tensor_parallel_parameters():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = {"w": P(None, "model"), "b": P("model")}
    params = jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), SMALL, specs)
    tx = nablax.shard_state(nablax.adam(1e-3), mesh, param_specs=specs)
    state = tx.init(params)
    assert state[0].mu["w"].sharding.spec == P("data", "model")
    assert state[0].mu["b"].sharding.spec == P("model")
    updates, state = jax.jit(lambda g, s, p: tx.update(g, s, p))(params, state, params)
    assert updates["w"].sharding.spec == specs["w"]
    assert state[0].mu["w"].sharding.spec == P("data", "model")
    refused(
        nablax.ArgumentError, "param_specs", lambda: nablax.shard_state(nablax.adam(1e-3), mesh).init(params)
    )
    both = nablax.state_shardings(nablax.adam(1e-3), SMALL, mesh, axis=("data", "model"))
    assert both[0].mu["w"].spec == P(("data", "model"))
    fsdp = nablax.state_shardings(nablax.adam(1e-3), SMALL, mesh, param_specs=P("data"))
    assert fsdp[0].mu["b"].spec == P("data")
    shapes = {"odd": (18, 7), "large": (99, 8, 16), "taken": (16, 4)}  # the axis has four devices
    shapes = jax.tree.map(lambda s: jnp.zeros(s), shapes, is_leaf=lambda x: isinstance(x, tuple))
    specs = {"odd": P(), "large": P(), "taken": P("model")}
    laid = nablax.state_shardings(nablax.adam(1e-3), shapes, mesh, param_specs=specs)[0].nu
    wanted = {"odd": P(), "large": P(None, None, "data"), "taken": P("model", "data")}
    assert {name: laid[name].spec for name in laid} == wanted


@check
def a_transformation_of_another_library_is_sharded_by_shapes():
    ours, _, _ = loop(nablax.shard_state(optax.adam(1e-2), MESH), everywhere(SMALL))
    theirs, _, _ = loop(optax.adam(1e-2), everywhere(SMALL))
    equal(ours, theirs)
    state = nablax.shard_state(optax.chain(optax.clip(1.0), optax.adamw(1e-2)), MESH).init(SMALL)
    assert state[1][0].mu["w"].sharding.spec == P("data")
    assert state[1][0].count.sharding.is_fully_replicated


@check
def wrappers_and_memories_follow_the_parameters():
    tx = nablax.MultiSteps(nablax.adam(1e-3), 2)
    state = nablax.shard_state(tx, MESH).init(SMALL)
    assert state.acc_grads["w"].sharding.spec == P("data")
    assert state.inner_opt_state[0].mu["w"].sharding.spec == P("data")
    from nablax.linesearch import scale_by_lbfgs

    state = nablax.state_shardings(scale_by_lbfgs(3), SMALL, MESH)
    assert state.diff_params_memory["w"].spec == P(None, "data")
    assert state.weights_memory.spec == P()


@check
def an_optimizer_keeps_layout_and_program_through_steps_saving_and_loading():
    for mesh in (MESH, EXPLICIT):
        made = [
            nablax.Optimizer(nablax.adam(1e-2), SMALL, mesh=mesh, skip_nonfinite=True, metrics=True)
            for _ in range(2)
        ]
        opt, other = made
        plain = nablax.Optimizer(
            nablax.adam(1e-2), everywhere(SMALL, mesh), skip_nonfinite=True, metrics=True
        )
        gradient = jax.jit(jax.grad(loss))
        layout = jax.tree.map(lambda x: x.sharding, (opt.params, opt.state))
        for i in range(4):
            opt.step(gradient(opt.params, batch(mesh)))
            plain.step(gradient(plain.params, batch(mesh)))
            if i == 1:
                with tempfile.TemporaryDirectory() as folder:
                    opt.save(f"{folder}/saved")
                    other.load(f"{folder}/saved")
            if i > 1:
                other.step(gradient(other.params, batch(mesh)))
        opt.hyperparameters["learning_rate"] = 0.5
        equal(opt.params, plain.params)
        equal((other.params, other.state), (opt.params, opt.state))
        assert opt.compilations <= 1
        assert bytes_on(opt.state, jax.devices()[3]) < 0.13 * bytes_on(plain.state, jax.devices()[3])
        for owner in made:
            jax.tree.map(
                lambda x, s: x.sharding.is_equivalent_to(s, x.ndim) or 1 / 0,
                (owner.params, owner.state),
                layout,
            )
    assert "adam/learning_rate" in opt.hyperparameters


@check
def an_optimizer_with_a_mesh_compiles_once():
    params = {"w": jnp.ones((24, 8))}
    opt = nablax.Optimizer(nablax.adam(1e-2), params, mesh=MESH)
    count = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: (
            count.append(name) if name == "/jax/core/compile/backend_compile_duration" else None
        )
    )
    g = jax.device_put({"w": jnp.ones((24, 8))}, NamedSharding(MESH, P()))
    for _ in range(3):
        opt.step(g)
    assert opt.compilations == 1
    assert len(count) == 1, count


@check
def the_axis_may_have_another_name_and_be_several():
    mesh = jax.make_mesh((2, 2, 2), ("a", "b", "model"), axis_types=(AxisType.Auto,) * 3)
    for axis, parts in (("b", 2), (("a", "b"), 4)):
        tx = nablax.adam(1e-2)
        opt = nablax.Optimizer(tx, everywhere(SMALL, mesh), mesh=mesh, axis=axis)
        step = nablax.train_step(loss, tx, mesh=mesh, axis=axis)
        params, state = (
            everywhere(SMALL, mesh),
            nablax.shard_state(tx, mesh, axis=axis).init(everywhere(SMALL, mesh)),
        )
        for _ in range(2):
            opt.step(jax.grad(loss)(opt.params, BATCH))
            params, state, _ = step(params, state, BATCH)
        moments = 2 * sum(4 * x.size for x in SMALL.values())
        for held in (opt.state, state):
            assert abs(bytes_on(held, jax.devices()[5]) - moments // parts) <= 16, axis
        assert opt.compilations == step.cache_size() == 1
        close(opt.params, params, axis)
        assert opt.params["w"].sharding.is_fully_replicated


@check
def train_step_with_a_mesh_and_microbatches():
    for mesh in (MESH, EXPLICIT):
        tx, found = nablax.adam(1e-2), []
        for layout in (None, mesh):
            params = everywhere(SMALL, mesh)
            state = (tx if layout is None else nablax.shard_state(tx, mesh)).init(params)
            step = nablax.train_step(loss, tx, microbatches=4, mesh=layout)
            text = step.lower(params, state, batch(mesh)).compile().as_text()
            if layout is None:
                assert "all-gather" not in kinds(text), kinds(text)
            for _ in range(3):
                params, state, metrics = step(params, state, batch(mesh))
            assert params["w"].sharding.is_fully_replicated
            found.append((params, metrics["loss"]))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), 1e-5, 1e-7), *found
        )
        assert state[0].mu["w"].sharding.is_equivalent_to(NamedSharding(mesh, P("data")), 2)


@check
def line_searches_step_on_automatic_and_explicit_meshes():
    zoom = nablax.scale_by_zoom_linesearch(3)
    lbfgs = nablax.lbfgs(memory_size=1, linesearch=zoom)
    backtracking = nablax.chain(nablax.sgd(1.0), nablax.scale_by_backtracking_linesearch(3))
    for tx, layouts in (
        (lbfgs, ((MESH, True), (EXPLICIT, True), (EXPLICIT, False))),
        (backtracking, ((EXPLICIT, True), (EXPLICIT, False))),
    ):
        found = []
        for mesh, spread in layouts:
            form = nablax.shard_state(tx, mesh) if spread else tx

            @jax.jit
            def step(params, state, x, form=form):
                value, grad = jax.value_and_grad(loss)(params, x)
                updates, state = form.update(grad, state, params, value=value, grad=grad, value_fn=loss, x=x)
                return nablax.apply_updates(params, updates), state

            params = everywhere(SMALL, mesh)
            state = form.init(params)
            for _ in range(2):
                params, state = step(params, state, batch(mesh))
            found.append(params)
        for other in found[1:]:
            close(other, found[0], "line search")


@check
def matrices_are_dealt_whole_to_the_devices():
    keys = jax.random.split(jax.random.key(0), 8)
    params = everywhere([jax.random.normal(k, (64, 32)) for k in keys])
    texts, found = [], []
    for tx in (nablax.muon(1e-2), nablax.shard_state(nablax.muon(1e-2), MESH)):

        def step(params, state, tx=tx):
            updates, state = tx.update(jax.tree.map(jnp.square, params), state, params)
            return nablax.apply_updates(params, updates), state

        state = tx.init(params)
        texts.append(jax.jit(step).lower(params, state).compile().as_text())
        found.append(jax.jit(step)(params, state))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-6), *found)
    assert found[1][1].inner_states["muon"].inner_state[0].mu[0].sharding.spec == P("data")
    assert kinds(texts[1])["all-to-all"] == 2, kinds(texts[1])  # there and back
    assert kinds(texts[1])["all-reduce"] == 0, kinds(texts[1])  # none within Newton-Schulz
    tx = nablax.galore(1e-2, 8)
    alone, spread = [
        jax.jit(tx.update)(params, tx.init(params), params)[1][0] for tx in (tx, nablax.shard_state(tx, MESH))
    ]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5),
        alone.projector,
        spread.projector,
    )
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(spread.projector))
    moments = jax.tree.leaves(spread.base_optimizer_state.mu)
    assert all(4 * x.size // 8 == bytes_on(x, MESH.devices[0]) for x in moments)


@check
def matrices_of_all_shapes_are_dealt_by_their_size():
    shapes = {
        "a": (96, 64),
        "b": (64, 200),
        "c": (5, 7),
        "d": (48, 16),
        "e": (3, 40, 24),
        "f": (24, 3, 8),
        "g": (33,),
    }
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = {name: jax.random.normal(k, s) for (name, s), k in zip(shapes.items(), keys, strict=True)}
    axes = nablax.optimizers.MuonDimensionNumbers
    numbers = {
        "a": axes(), "b": axes(), "c": axes(), "d": axes(1, 0), "e": axes(1, 2), "f": axes((1, 2), 0), "g": None,
    }  # fmt: skip
    both = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = {name: P(None, "model") if name in "ab" else P() for name in shapes}
    found = []
    for mesh, how in ((None, None), (MESH, None), (both, specs), (EXPLICIT, None)):
        tx = nablax.muon(1e-2, ns_coeffs="dion", adaptive=True, muon_weight_dimension_numbers=numbers)
        tx = tx if mesh is None else nablax.shard_state(tx, mesh, param_specs=how)

        def step(params, state, tx=tx):
            updates, state = tx.update(jax.tree.map(jnp.square, params), state, params)
            return nablax.apply_updates(params, updates), state

        here = params if mesh is None else everywhere(params, mesh)
        if how:
            here = {name: jax.device_put(x, NamedSharding(mesh, how[name])) for name, x in params.items()}
        state = tx.init(here)
        text = jax.jit(step).lower(here, state).compile().as_text()
        for _ in range(2):
            here, state = jax.jit(step)(here, state)
        found.append((here, jax.tree.leaves(state)))
        if mesh is MESH or mesh is EXPLICIT:
            assert kinds(text)["all-to-all"] == 4, kinds(
                text
            )  # two of them turn "f", whose outputs are split
            assert kinds(text)["all-reduce"] == 1, kinds(text)  # the dual norms of `adaptive`
    for other in found[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), 1e-4, 1e-3), other, found[0]
        )


@check
def what_is_asked_of_whole_matrices_comes_back_to_who_asked():
    from nablax.core import dealing, leafwise

    def rule(g, *, rate):
        """Asks twice, with numbers of its own; the second question depends on the first answer."""
        whole = of_whole(scaled_inverse, g @ g.T + jnp.eye(len(g)), factor=jnp.sum(g), rank=2)
        return (
            rate
            * of_whole(scaled_inverse, whole @ whole.T + jnp.eye(2), factor=jnp.max(g), rank=len(g))[0, 0]
            * g
        )

    def scaled_inverse(x, *, factor, rank):
        return factor * jnp.linalg.inv(x)[:rank, :rank]

    of_whole = nablax.core.of_whole
    tx = leafwise(rule, hyperparams={"rate": 2.0}, stack=True)
    keys = jax.random.split(jax.random.key(1), 5)
    sizes = ((8, 4), (8, 4), (5, 5), (16, 3), (5, 5))
    grads = [jax.random.normal(k, s) for k, s in zip(keys, sizes, strict=True)]
    grads[4] = grads[4].astype(jnp.complex64)
    alone = tx.update(grads, tx.init(None))[0]

    @jax.jit
    def dealt(grads):
        with dealing(MESH):
            return tx.update(grads, tx.init(None))[0]

    text = jax.jit(dealt).lower(everywhere(grads)).compile().as_text()
    assert kinds(text)["all-to-all"] == 2 * 2 * 2, kinds(text)  # there and back, of two dtypes, twice
    close(dealt(everywhere(grads)), alone, "dealt")


@check
def matrices_are_dealt_between_manual_axes_and_within_a_split():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    params = {k: jnp.cos(jnp.arange(256.0 * (k + 2)).reshape(-1, 16) ** 1.3) for k in range(3)}
    for tx in (nablax.adam(1e-2), nablax.muon(1e-2), nablax.galore(1e-2, rank=2)):
        sharded = nablax.shard_state(tx, mesh, axis="model")
        wanted = jax.jit(tx.update)(params, tx.init(params), params)[0]
        there = jax.device_put(params, NamedSharding(mesh, P()))
        manual = jax.shard_map(
            lambda p, s, sharded=sharded: sharded.update(p, s, p)[0],
            mesh=mesh, in_specs=(P(), P()), out_specs=P(), axis_names={"data"}, check_vma=False,
        )  # fmt: skip
        close(jax.jit(manual)(there, sharded.init(there)), wanted, tx)
    # From the devices that made them matrices go to where the state is, and from there to the split: no device is
    # sent what lies beside its part.
    specs = {k: P(None, "model") for k in range(3)}
    like = {
        k: jax.ShapeDtypeStruct((1024, 256), jnp.float32, sharding=NamedSharding(mesh, s))
        for k, s in specs.items()
    }
    tx = nablax.shard_state(nablax.muon(1e-2), mesh, param_specs=specs)
    text = jax.jit(tx.update).lower(like, jax.eval_shape(tx.init, like), like).compile().as_text()
    assert "f32[1024,128]{1,0} all-gather" in text
    assert "f32[1024,256]{1,0} all-gather" not in text


def quantized(bits, inner=None):
    return nablax.quantize_state(inner or nablax.adamw(1e-2), bits, min_size=2)


@check
def blocks_of_a_quantized_state_stay_whole_on_each_device():
    params = {"w": jnp.ones((64, 32)), "t": jnp.ones((50, 2048)), "odd": jnp.ones((50, 24))}
    gradient = jax.jit(
        lambda p, k: jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size).reshape(x.shape) + k), p)
    )
    for mesh in (MESH, EXPLICIT):
        for bits in (8, 4):
            alone = nablax.Optimizer(quantized(bits), params)
            opt, other = (nablax.Optimizer(quantized(bits), params, mesh=mesh) for _ in range(2))
            for k in range(3):
                alone.step(gradient(alone.params, k))
                opt.step(gradient(opt.params, k))
            mu = opt.state.inner_state[0].mu
            for name, d in (("w", 0), ("t", 1)):
                assert mu[name].codes.sharding.spec[d] == mu[name].scales.sharding.spec[d] == "data", name
                assert mu[name].scales.shape[d] % 8 == 0
            assert mu["odd"].codes.sharding.is_fully_replicated
            said = nablax.describe_memory(quantized(bits), params, mesh=mesh)
            there = said.device - said.rows[0].device - said.rows[1].device
            assert bytes_on(opt.state, jax.devices()[3]) == there
            close(opt.params, alone.params, f"{bits} bits")
            other.load_state_dict(opt.state_dict())
            for owner in (opt, other):
                owner.step(gradient(opt.params, 9))
            equal((opt.params, opt.state), (other.params, other.state))
            assert opt.compilations == 1


@check
def a_quantized_state_composes_with_tensor_parallel_parameters():
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = {"w": P(None, "model"), "v": P(None, "model")}
    params = {"w": jnp.ones((64, 1024)), "v": jnp.ones((64, 512))}
    params = jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), params, specs)
    tx = nablax.shard_state(quantized(8), mesh, param_specs=specs)
    updates, state = jax.jit(lambda g, p: tx.update(g, tx.init(p), p))(params, params)
    mu = state.inner_state[0].mu
    assert mu["w"].codes.sharding.spec == P("data", "model")  # four blocks along 1024
    assert mu["v"].codes.sharding.spec == P("data")  # two along 512: four devices would cut them
    assert updates["v"].sharding.spec == P(None, "model")
    close(updates, quantized(8).update(params, quantized(8).init(params), params)[0], "updates")


@check
def rows_that_end_with_a_shorter_block_and_odd_rows_are_as_on_one_device():
    shapes = {"w": (64, 2000), "t": (64, 300), "v": (51, 64), "u": (4100,)}
    specs = {"w": P(None, "model"), "t": P(None, "model"), "v": P(None, "model"), "u": P()}
    keys = dict(zip(shapes, jax.random.split(jax.random.key(0), 4), strict=True))
    params = {k: jax.random.normal(keys[k], shape) for k, shape in shapes.items()}
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(kind,) * 2)
        there = jax.tree.map(lambda x, s, m=mesh: jax.device_put(x, NamedSharding(m, s)), params, specs)
        for bits, inner in ((8, None), (4, None), (4, nablax.lion(1e-2))):
            tx = quantized(bits, inner)
            alone = nablax.Optimizer(tx, params)
            with jax.set_mesh(mesh):
                opt = nablax.Optimizer(nablax.shard_state(tx, mesh, param_specs=specs), there)
            for _ in range(3):
                alone.step(jax.tree.map(jnp.sin, alone.params))
                with jax.set_mesh(mesh):
                    opt.step(jax.tree.map(jnp.sin, opt.params))
            for name, x in alone.params.items():  # but where two codes are as near, to the last digit
                off = ~np.isclose(opt.params[name], x, 1e-5, 1e-7)
                assert off.mean() < 1e-3, f"{name}, {kind} {bits} bits: {off.mean()}"
            assert opt.compilations == 1
            mu = opt.state.inner_state[0].mu
            for x in (mu["w"].codes, mu["w"].scales):
                assert tuple(x.sharding.spec)[:2] == ("data", "model")
            assert bits == 4 or tuple(mu["t"].codes.sharding.spec)[1:] in (
                (),
                (None,),
            )  # 256 and 44 along rows


@check
def an_offloaded_state_lies_in_the_memory_of_hosts():
    params = {"w": jnp.ones((16, 4))}
    plain = nablax.Optimizer(nablax.adamw(1e-2), params)
    opts = [
        nablax.Optimizer(
            nablax.offload_state(nablax.shard_state(nablax.adamw(1e-2), MESH)), everywhere(params)
        ),
        nablax.Optimizer(nablax.offload_state(nablax.adamw(1e-2)), params, mesh=MESH),
        nablax.Optimizer(nablax.offload_state(quantized(8)), params, mesh=MESH),
    ]
    for _ in range(3):
        plain.step(params)
        for opt in opts:
            opt.step(everywhere(params))
    for opt in opts:
        close(opt.params, plain.params, "offloaded")
        for x in jax.tree.leaves(opt.state):
            assert x.sharding.memory_kind == ("pinned_host" if x.ndim else "device")
    assert opts[0].state[0].mu["w"].sharding.spec == P("data")


@check
def what_describe_memory_says_is_allocated():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = {"w": P(None, "model"), "b": P()}
    params = jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), SMALL, specs)
    narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    for tx, held, kept in (
        (nablax.adamw(1e-3), params, ()),
        (nablax.adafactor(1e-3, min_dim_size_to_factor=2), params, ()),
        (nablax.muon(1e-3), params, ()),
        (nablax.precision(nablax.adamw(1e-3)), narrow, ("precision/beside",)),
        (nablax.precision(nablax.adamw(1e-3), "remainder"), narrow, ("precision/beside",)),
        (nablax.quantize_state(nablax.adamw(1e-3), min_size=2), params, ()),
    ):
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), held)
        said = nablax.describe_memory(tx, shapes, mesh=mesh)
        state = nablax.shard_state(tx, mesh, param_specs=specs).init(held)
        rows = {row.what: row for row in said.rows}
        assert {*kept} <= {*rows}, rows
        opt = nablax.Optimizer(tx, held, mesh=mesh)
        assert nablax.describe(tx, shapes, mesh=mesh).memory == opt.describe().memory == said
        for device in jax.devices():
            assert rows["parameters"].device == bytes_on(held, device)
            there = said.device - rows["parameters"].device - rows["gradients"].device
            assert abs(there - bytes_on(state, device)) <= 0.01 * bytes_on(state, device)
    layers = [jax.ShapeDtypeStruct((8192, 8192), jnp.bfloat16)] * 1043  # 70 billion
    plan = nablax.describe_memory(
        nablax.adamw(1e-4), layers, mesh=AbstractMesh((512,), ("data",)), param_specs=P("data")
    )
    assert abs(plan.device * 512 / plan.total - 1) < 1e-6
    assert round(plan.rows[0].total / 1e9) == 140


@check
def norms_under_shard_map_are_summed_over_the_axis_once():
    tx = nablax.over_axis(nablax.with_metrics(nablax.sgd(0.1)), "data")

    def told(w):
        return nablax.metrics_of(tx.update(w, tx.init(w), w)[1])["gradient_norm"][None]

    # Of few entries, and of many, whose norms are computed with the update.
    for sizes in ((64,), (8 * 4097,), (64, 2**15)):
        w = {str(n): jnp.ones(n) for n in sizes}
        for check_vma in (True, False):
            mapped = jax.shard_map(
                told, mesh=MESH, in_specs=P("data"), out_specs=P("data"), check_vma=check_vma
            )
            close(jax.jit(mapped)(w), jnp.full(8, sum(sizes) ** 0.5), f"{sizes} {check_vma}")


@check
def within_shard_map_what_needs_whole_arrays_is_refused_and_over_axis_sums():
    from nablax.linesearch import scale_by_lbfgs

    specs = {"w": P("data"), "b": P()}

    def run(tx, check_vma=True, specs=specs):
        def update(p):
            g = jax.tree.map(lambda x: 2 * x + 1, p)
            return tx.update(g, tx.init(p), p)[0]

        mapped = jax.shard_map(update, mesh=MESH, in_specs=(specs,), out_specs=specs, check_vma=check_vma)
        return jax.jit(mapped)(SMALL)

    def alone(tx):
        g = jax.tree.map(lambda x: 2 * x + 1, SMALL)
        return jax.jit(lambda g: tx.update(g, tx.init(SMALL), SMALL)[0])(g)

    sums = {
        "clip_by_global_norm": nablax.chain(nablax.clip_by_global_norm(1.0), nablax.sgd(0.1)),
        "dog": nablax.dog(),
        "scale_by_lbfgs": scale_by_lbfgs(3),
        "apply_if_finite": nablax.apply_if_finite(nablax.sgd(0.1), 3),
    }
    for name, tx in sums.items():
        refused(nablax.StructureError, "over_axis(tx, 'data')", lambda tx=tx: run(tx))
        each = {"w": P("data"), "b": P("data")}
        close(run(nablax.over_axis(tx, "data")), alone(tx), name)
        close(run(nablax.over_axis(tx, "data"), False, each), alone(tx), name)
    for tx in (
        nablax.adaptive_grad_clip(0.1),
        nablax.muon(0.1),
        nablax.lamb(0.1),
        nablax.adafactor(0.1, min_dim_size_to_factor=2),
        nablax.clip_by_block_rms(1.0),
        nablax.galore(0.1, 2),
    ):
        for form in (tx, nablax.over_axis(tx, "data")):
            refused(nablax.StructureError, "split over the mesh axis 'data'", lambda form=form: run(form))
    local = run(nablax.over_axis(nablax.clip_by_global_norm(1.0), None), specs=each)
    assert not np.allclose(local["w"], alone(nablax.clip_by_global_norm(1.0))["w"])
    equal(run(nablax.adamw(0.1)), alone(nablax.adamw(0.1)))  # elementwise: as it is
    whole = {"w": P(), "b": P()}
    equal(run(nablax.muon(0.1), specs=whole), alone(nablax.muon(0.1)))  # nothing is split
    refused(nablax.ArgumentError, "no axis", lambda: alone(nablax.over_axis(nablax.sgd(0.1), "data")))


@check
def under_shard_map_each_device_draws_noise_of_its_own():
    specs = {"w": P("data"), "b": P()}

    def drawn(tx, params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return tx.update(zeros, tx.init(params), params)[0]

    private = nablax.over_axis(nablax.differentially_private_aggregate(1.0, 1.0, key=0), "data")
    for tx, axes, shapes in (
        (nablax.add_noise(1.0, 0.5, key=0), specs, {"w": (64, 4), "b": (4,)}),
        (private, {"w": P(None, "data"), "b": P()}, {"w": (2, 64, 4), "b": (2, 4)}),  # of two examples
    ):
        params = {name: jnp.ones(shape) for name, shape in shapes.items()}
        mapped = jax.shard_map(lambda p, tx=tx: drawn(tx, p), mesh=MESH, in_specs=(axes,), out_specs=specs)
        noise = jax.jit(mapped)(params)
        assert np.unique(noise["w"]).size == 256
        assert np.unique(noise["b"]).size == 4


@check
def bad_meshes_and_specs_are_refused():
    tx = nablax.adam(1e-3)
    refused(
        nablax.ArgumentError,
        "must be one of the mesh's ('data')",
        lambda: nablax.shard_state(tx, MESH, axis="model"),
    )
    refused(nablax.ArgumentError, "must be a jax.sharding.Mesh", lambda: nablax.shard_state(tx, 8))
    refused(
        nablax.ArgumentError,
        "holds PartitionSpec",
        lambda: nablax.shard_state(tx, MESH, param_specs="data").init(SMALL),
    )
    refused(
        nablax.StructureError,
        "param_specs",
        lambda: nablax.shard_state(tx, MESH, param_specs={"x": P()}).init(SMALL),
    )


@check
def collectives_follow_the_law_of_the_docs():
    sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
    from collectives import compiled_for

    def law(name, layers, devices, replicated, sharded):
        """Checks the bytes that a device sends, as multiples of (n - 1) / n of the parameters; returns the counts."""
        counts = {"replicated": [], "sharded": []}
        for n in devices:
            found = compiled_for(n, layers, (name,))
            for layout, factor in (("replicated", replicated), ("sharded", sharded(n))):
                read = found[f"{name} {layout}"]
                sent = sum(read["sent"].values()) / found["parameters"] * n / (n - 1)
                assert abs(sent - factor) < 0.004 * factor, (name, layout, n, sent, factor)
                counts[layout].append(read["count"])
        for layout, found in counts.items():  # as many for any number of devices
            assert all(count == found[0] for count in found), (name, layout, found)
        assert counts["replicated"][0] == {"all-reduce": 1}
        return counts["sharded"][0]

    def thrice(n):
        return 3

    assert law("adamw", 1, (2, 4, 8), 2, thrice) == {"all-reduce": 1, "all-gather": 3}
    assert law("clip_by_global_norm", 1, (2, 8), 2, thrice) == {"all-reduce": 4, "all-gather": 3}
    assert law("adafactor", 1, (2, 8), 2, thrice) == {"all-reduce": 8, "all-gather": 5}
    dealt = law("muon", 3, (2, 8), 2, lambda n: 3 + 2 * -(-6 // n) / 6)
    assert dealt == {"all-reduce": 1, "all-gather": 9, "all-to-all": 2}


if __name__ == "__main__":
    contexts.keep()
    assert len(jax.devices()) == 8
    MESH = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    EXPLICIT = jax.make_mesh((8,), ("data",))
    wrong = {}
    for name in sys.argv[1:] or CHECKS:
        try:
            CHECKS[name]()
            wrong[name] = ""
        except Exception:
            wrong[name] = traceback.format_exc()[-3000:]
    print(json.dumps(wrong))
