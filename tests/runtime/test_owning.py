"""An `Optimizer` owns its arrays: what that allows, what it forbids, and that nothing is lost."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax
from nablax import core, transforms
from nablax.core import StructureError
from nablax.optimizers import adam, adamw, sgd
from nablax.runtime import Optimizer, train_step

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}


def loss(params, x=1.0):
    return sum(jnp.sum((p - 0.5) ** 2) for p in jax.tree.leaves(params)) * x


GRADS = jax.grad(loss)(PARAMS)


def test_a_step_within_a_trace_shows_the_functional_loop():
    opt = Optimizer(adam(0.1), PARAMS)
    for run in (
        lambda: jax.jit(opt.step)(GRADS),
        lambda: jax.lax.scan(lambda c, g: (opt.step(g), None), None, jax.tree.map(lambda g: g[None], GRADS)),
        lambda: jax.grad(lambda p: loss(opt.step(jax.grad(loss)(p))))(PARAMS),
        lambda: jax.vmap(opt.step)(jax.tree.map(lambda g: g[None], GRADS)),
    ):
        with pytest.raises(
            TypeError, match=r"functional loop: updates, state = tx.update\(grads, state, params\)"
        ):
            run()
    assert opt.metrics["steps"] == 0


def test_consumed_arrays_say_so_and_copies_stay():
    opt = Optimizer(adam(0.1), PARAMS)
    kept, given = opt.copy_params(), opt.params
    opt.step(GRADS)
    assert all(x.is_deleted() for x in jax.tree.leaves(given))
    jax.tree.map(np.testing.assert_array_equal, kept, PARAMS)
    with pytest.raises(StructureError, match=r"consumed by an earlier step.*opt.copy_params\(\)"):
        opt.step(given)
    opt.step(GRADS)
    step = train_step(loss, adam(0.1))
    params, state = kept, adam(0.1).init(kept)
    step(params, state)
    with pytest.raises(StructureError, match=r"consumed by an earlier step"):
        step(params, state)


def test_taken_arrays_are_not_copied():
    params = jax.tree.map(lambda p: jnp.array(p, copy=True), PARAMS)
    where = params["w"].unsafe_buffer_pointer()
    opt = Optimizer(adam(0.1), params, take=True)
    assert opt.params["w"].unsafe_buffer_pointer() == where
    opt.step(GRADS)
    assert params["w"].is_deleted()
    shared = jnp.ones(3)
    twice = Optimizer(sgd(0.1), {"a": shared, "b": shared}, take=True)
    twice.step({"a": shared + 0, "b": 2 * shared})
    np.testing.assert_allclose(twice.params["b"], 0.8, rtol=1e-6)


def test_a_foreign_init_that_hands_out_the_parameters_themselves():
    def init(params):
        return {"first": params, "again": params}

    tx = core.GradientTransformation(init, lambda g, s, p=None: (g, s))
    opt = Optimizer(tx, PARAMS)
    opt.step(GRADS)
    jax.tree.map(np.testing.assert_array_equal, opt.state["again"], PARAMS)


def test_updates_are_applied_as_wide_as_they_were_computed():
    params = {"w": jnp.full(4, 256.0, jnp.bfloat16)}  # spacing of bfloat16 there: 2
    grads = {"w": jnp.full(4, 1.0, jnp.bfloat16)}
    opt = Optimizer(core.chain(transforms.scale(1.003)), params)
    opt.step(grads)  # 257.003 is rounded to 258; the update in bfloat16 would be 1, and 257 be rounded to 256
    np.testing.assert_array_equal(opt.params["w"].astype(jnp.float32), 258.0)


def test_lbfgs_takes_value_and_function_in_both():
    def rosenbrock(p):
        return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2

    start = jnp.array([-1.2, 1.0])
    opt = Optimizer(nablax.lbfgs(), start)
    for _ in range(40):
        value, grad = jax.value_and_grad(rosenbrock)(opt.params)
        opt.step(grad, value=value, value_fn=rosenbrock)
    np.testing.assert_allclose(opt.params, 1.0, atol=1e-3)
    assert opt.compilations == 1
    step = train_step(rosenbrock, tx := nablax.lbfgs(), donate=False)
    params, state = start, tx.init(start)
    for _ in range(40):
        params, state, metrics = step(params, state)
    np.testing.assert_allclose(params, 1.0, atol=1e-3)
    assert float(metrics["loss"]) < 1e-6


def test_a_consumed_array_is_named_on_the_direct_way_too():
    opt = Optimizer(adam(0.1), {"w": jnp.ones(2)})
    for _ in range(8):
        opt.step({"w": jnp.ones(2)})
    assert opt._step.ready.direct
    for gone in (
        jnp.ones(2),
        jnp.ones(2, jnp.float16),
    ):  # one that the program knows, and one that is new to it
        gone.delete()
        with pytest.raises(StructureError, match=r"\['w'\] was consumed by an earlier step"):
            opt.step({"w": gone})
    opt.step({"w": jnp.ones(2)})
    assert opt.metrics["steps"] == 9


def test_a_state_may_change_its_structure():
    """Transformations of users begin with None, or fill a dict as they go: each structure has its program."""

    def update(updates, state, params=None):
        last = state.get("last", jax.tree.map(jnp.zeros_like, updates))
        return jax.tree.map(lambda g, m: -0.1 * (g + m), updates, last), {"last": updates}

    tx = optax.GradientTransformation(lambda params: {}, update)
    opt = Optimizer(tx, {"w": jnp.ones(2)})
    for i in range(1, 4):
        opt.step({"w": jnp.full(2, float(i))})
        assert float(opt.state["last"]["w"][0]) == i
    np.testing.assert_allclose(opt.params["w"], 1 - 0.1 * (1 + 2 + 3 + 1 + 2), rtol=1e-6)
    assert opt.compilations == 2


def test_what_the_function_names_is_handed_on():
    def f(p, scale):
        return scale * jnp.sum((p - 1.0) ** 2)

    opt = Optimizer(nablax.lbfgs(), jnp.zeros(3))
    for scale in (1.0, 2.0, 3.0, 4.0):
        value, grad = jax.value_and_grad(f)(opt.params, scale)
        opt.step(grad, value=value, value_fn=f, scale=jnp.asarray(scale))
    np.testing.assert_allclose(opt.params, 1.0, atol=1e-5)
    assert opt.compilations == 1


def test_a_state_dict_takes_typed_keys_and_is_loaded_whole_or_not_at_all():
    tx = core.chain(transforms.add_noise(0.1, 0.5, jax.random.key(3)), adam(0.1))
    opt = Optimizer(tx, PARAMS)
    opt.step(GRADS)
    saved = opt.state_dict()
    opt.step(GRADS)
    other = Optimizer(tx, PARAMS)
    other.load_state_dict(saved)
    other.step(GRADS)
    jax.tree.map(np.testing.assert_array_equal, other.params, opt.params)
    assert jnp.issubdtype(other.state[0].rng_key.dtype, jax.dtypes.prng_key)

    fresh = Optimizer(tx, PARAMS)
    bad = {**saved, "hyperparameters": {**saved["hyperparameters"], "adam/b1": 7.0}}
    missing = {k: v for k, v in saved.items() if k != "arrays"}
    for wrong in (bad, missing, {**saved, "arrays": {}}):
        with pytest.raises((core.HyperparameterError, StructureError)):
            fresh.load_state_dict(wrong)
        jax.tree.map(np.testing.assert_array_equal, fresh.params, PARAMS)
        assert fresh.hyperparameters["b1"] == 0.9
        assert fresh.metrics["steps"] == 0


def test_a_named_chain_reads_its_state_by_name():
    tx = core.named_chain(("trace", transforms.trace(0.9)), ("scale", adam(0.1)))
    state = tx.init(PARAMS)
    updates, after = tx.update(GRADS, state, PARAMS)
    turned = {name: state[name] for name in reversed(list(state))}
    again, other = tx.update(GRADS, turned, PARAMS)
    jax.tree.map(np.testing.assert_array_equal, again, updates)
    assert list(other) == list(turned)
    for name in after:
        jax.tree.map(np.testing.assert_array_equal, other[name], after[name])


def test_microbatches_are_whole_and_keys_are_split():
    with pytest.raises(
        core.ArgumentError, match="train_step: microbatches must be an integer, got float: 2.5"
    ):
        train_step(loss, sgd(0.1), microbatches=2.5)

    def noisy(p, x, key):
        return jnp.mean((p + x + jax.random.normal(key, x.shape)) ** 2)

    x = jnp.arange(8.0)
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        for names in ("key", 1, ("key",)):
            step = train_step(noisy, tx := sgd(0.1), microbatches=4, keys=names, donate=False)
            *_, metrics = step(jnp.zeros(()), tx.init(jnp.zeros(())), x, key)
            parts = zip(x.reshape(2, 4).T, jax.random.split(key, 4), strict=True)
            expected = np.mean([float(noisy(0.0, *part)) for part in parts])
            np.testing.assert_allclose(float(metrics["loss"]), expected, rtol=1e-6)
    with pytest.raises(
        core.ArgumentError, match="keys names 'rng', but after the parameters loss_fn takes x, key"
    ):
        train_step(noisy, sgd(0.1), microbatches=4, keys="rng")


def test_float16_updates_stay_wide_along_a_chain():
    scales = [transforms.scale(1e-6), transforms.scale(1e-6), transforms.scale(1e12)]
    g = jnp.array([1.0, -3.0], jnp.float16)
    for identity in (None, optax.identity(), core.identity(), optax.scale(1.0)):
        links = [scales[0], scales[1], *([identity] if identity is not None else []), scales[2]]
        tx = core.chain(*links)
        for update in (tx.update, jax.jit(tx.update)):
            updates, _ = update(g, tx.init(g))
            assert updates.dtype == jnp.float16
            np.testing.assert_allclose(updates, g, rtol=1e-3)


_LOOP = """
    import itertools, os, signal, sys, threading, time, random
    import jax, jax.numpy as jnp, numpy as np
    import nablax

    params = [jnp.full(4, i, jnp.float32) for i in range(50)]
    opt = nablax.Optimizer(nablax.adam(1e-3), params)
    grads = [jnp.ones(4) for _ in range(50)]
    for _ in range(5):
        opt.step(grads)
    random.seed(0)

    def nag(stop):
        for _ in range(200):
            time.sleep(random.uniform(0.0005, 0.008))
            os.kill(os.getpid(), signal.SIGINT)
        stop.set()

    stop, caught, armed = threading.Event(), 0, False

    def interrupt(number, frame):  # as Python's own, but for the lines of this test that stand around the step
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=nag, args=(stop,))
    thread.start()
    while not stop.is_set():
        try:
            armed = True
            opt.step(grads)
            armed = False
        except KeyboardInterrupt:
            armed = False
            caught += 1
    thread.join()
    assert signal.getsignal(signal.SIGINT) is interrupt
    count = int(opt.state[0].count)
    assert opt.metrics["steps"] == count, (opt.metrics, count)
    reference = nablax.Optimizer(nablax.adam(1e-3), params)
    for _ in range(count):
        reference.step(grads)
    for a, b in zip(jax.tree.leaves((opt.params, opt.state)), jax.tree.leaves((reference.params, reference.state))):
        np.testing.assert_array_equal(a, b)
    opt.step(grads)
    assert opt._step.ready.direct  # the way of most steps, in which no handler is exchanged
    print("caught", caught, "steps", count)
"""


def test_ctrl_c_never_costs_the_model():
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_LOOP)], capture_output=True, text=True, env=env, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    caught = int(done.stdout.split()[1])
    assert caught > 10, done.stdout  # signals that come while one is pending are one


_SHARDED = """
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_num_cpu_devices", 2)
    import nablax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

    mesh = Mesh(np.array(jax.devices()), ("x",))
    where = NamedSharding(mesh, P("x"))
    params = {"w": jax.device_put(jnp.arange(8.0).reshape(4, 2), where)}
    opt = nablax.Optimizer(nablax.adamw(0.1), params)
    grads = {"w": jax.device_put(jnp.ones((4, 2)), where)}
    opt.step(grads)
    assert opt.params["w"].sharding == where, opt.params["w"].sharding
    saved = opt.state_dict()
    opt.step(grads)
    opt.load_state_dict(saved)
    assert opt.params["w"].sharding == where
    assert opt.state[0].mu["w"].sharding == where
    opt.step(grads)
    print("kept")
"""


def test_loading_keeps_the_shardings_of_the_running_optimizer():
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_SHARDED)],
        capture_output=True,
        text=True,
        env=env,
        timeout=200,
    )
    assert done.stdout.strip() == "kept", done.stderr[-2000:]


def test_two_threads_step_one_optimizer():
    import threading

    opt, plain = Optimizer(sgd(0.5), {"w": jnp.zeros(3)}), Optimizer(sgd(0.5), {"w": jnp.zeros(3)})
    grads, errors = {"w": jnp.ones(3)}, []

    def work():
        try:
            for _ in range(150):
                opt.step(grads)
                assert np.isfinite(opt.copy_params()["w"]).all()
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(300):
        plain.step(grads)
    assert not errors
    assert opt.metrics["steps"] == 300
    np.testing.assert_array_equal(opt.params["w"], plain.params["w"])


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
def test_a_copied_or_pickled_optimizer_goes_on_by_itself(again):
    def g(k):
        return {"w": jnp.array([1.0, -2.0, k]), "b": jnp.ones(2)}

    opt = Optimizer(adamw(1e-2), {"w": jnp.ones(3), "b": jnp.zeros(2)}, metrics=True, skip_nonfinite=True)
    opt.step(g(1.0))
    opt.step(g(jnp.nan))
    opt.hyperparameters["learning_rate"] = 0.5
    other = again(opt)
    assert other.tx == opt.tx
    assert other.metrics["skipped_steps"] == 1
    for owner in (other, opt):
        owner.step(g(2.0))
        owner.step(g(3.0))
    assert {name: x.tolist() for name, x in opt.params.items()} == {
        name: x.tolist() for name, x in other.params.items()
    }
    assert other.metrics == opt.metrics
    assert other.hyperparameters["learning_rate"] == 0.5
