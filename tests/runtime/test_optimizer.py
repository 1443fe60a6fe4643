"""`Optimizer`: one donated program without copies, live hyperparameters, metrics, restarts."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import chain, core
from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.optimizers import adafactor, adam, adamw, lion, muon, rmsprop, sgd
from nablax.runtime import Optimizer
from nablax.transforms import clip_by_global_norm

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}
GRADS = {"w": jnp.linspace(2.0, -1.0, 6).reshape(2, 3), "b": jnp.full(3, 0.1)}


def functional(tx, n, grads=GRADS):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(n):
        updates, state = tx.update(grads, state, params)
        params = core.apply_updates(params, updates)
    return params, state


def assert_close(a, b, rtol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7), a, b)


@pytest.mark.parametrize("make", [adam, lion, rmsprop, adamw, lambda lr: sgd(lr, 0.9)])
def test_a_step_is_the_functional_loop(make):
    opt = Optimizer(make(0.1), PARAMS)
    for _ in range(5):
        opt.step(GRADS)
    params, state = functional(make(0.1), 5)
    assert_close(opt.params, params)
    assert_close(opt.state, state)


@pytest.mark.parametrize(
    "make",
    [adam, lion, rmsprop, lambda lr: chain(clip_by_global_norm(1.0), adamw(lr)), adafactor, muon],
    ids=["adam", "lion", "rmsprop", "clip-adamw", "adafactor", "muon"],
)
def test_the_compiled_step_updates_in_place_without_a_copy(make):
    params = {"w": jnp.ones((256, 256)), "b": jnp.ones(256)}
    opt = Optimizer(make(1e-3), params)
    text = opt.lower(params).compile().as_text()
    copies = [line for line in text.splitlines() if re.search(r"= \w+\[[\d,]*\d[\d,]*\]\S* copy\(", line)]
    assert not copies, copies
    arrays = len(jax.tree.leaves((opt.params, opt.state)))
    aliases = re.search(r"input_output_alias=\{(.*?)\}, entry", text).group(1)
    pairs = re.findall(r"\{(\d+)\}: \((\d+), \{\}", aliases)
    assert pairs == [(str(i), str(i)) for i in range(arrays)], (
        "each output overwrites the input of its own position"
    )


def test_the_callers_arrays_stay_valid_and_shared_leaves_are_told_apart():
    x = jnp.ones(3)
    opt = Optimizer(sgd(0.1), {"a": x, "b": x})
    opt.step({"a": x, "b": 2 * x})
    np.testing.assert_array_equal(x, 1.0)
    np.testing.assert_allclose(opt.params["b"], 0.8, rtol=1e-6)


def test_hyperparameters_change_without_recompiling():
    opt = Optimizer(core.chain(clip_by_global_norm(1e9), adamw(0.1)), PARAMS)
    opt.step(GRADS)
    before = np.asarray(opt.params["b"])
    opt.hyperparameters["learning_rate"] = 0.0
    opt.step(GRADS)
    np.testing.assert_array_equal(opt.params["b"], before)
    opt.hyperparameters["adamw/b1"] = 0.5
    opt.hyperparameters["max_norm"] = 1.0
    opt.step(GRADS)
    assert opt.compilations == 1
    assert opt.hyperparameters["b1"] == 0.5
    assert opt.metrics["learning_rate"] == 0.0


def test_a_set_hyperparameter_is_what_a_rebuilt_optimizer_would_use():
    opt = Optimizer(adam(0.1), PARAMS)
    opt.hyperparameters["learning_rate"] = 0.02
    opt.hyperparameters["b2"] = 0.5
    for _ in range(3):
        opt.step(GRADS)
    assert_close(opt.params, functional(adam(0.02, b2=0.5), 3)[0])


def test_a_schedule_can_be_overridden_and_given_its_say_again():
    opt = Optimizer(sgd(lambda count: 0.1 * (count + 1)), PARAMS)
    opt.step(GRADS)
    assert opt.metrics["learning_rate"] == pytest.approx(0.1)
    assert opt.hyperparameters["learning_rate"] == pytest.approx(0.2)
    opt.hyperparameters["learning_rate"] = 7.0
    opt.step(GRADS)
    assert opt.metrics["learning_rate"] == 7.0
    opt.hyperparameters["learning_rate"] = None
    opt.step(GRADS)
    assert opt.metrics["learning_rate"] == pytest.approx(0.3)
    assert opt.compilations == 1


def test_bad_hyperparameters_are_refused():
    opt = Optimizer(sgd(0.1), PARAMS)
    with pytest.raises(KeyError, match="is none of them; there are sgd/learning_rate"):
        opt.hyperparameters["momentum"] = 0.9
    with pytest.raises(ArgumentError, match="takes a value like 0.1"):
        opt.hyperparameters["learning_rate"] = [0.1]
    with pytest.raises(HyperparameterError, match="got nan"):
        opt.hyperparameters["learning_rate"] = float("nan")
    with pytest.raises(HyperparameterError, match="must be a finite number, got inf"):
        opt.hyperparameters["learning_rate"] = float("inf")
    assert dict(opt.hyperparameters) == {"sgd/learning_rate": 0.1}


def test_metrics_tell_norms_and_skipped_steps():
    opt = Optimizer(sgd(0.5), PARAMS, metrics=True, skip_nonfinite=True)
    opt.step(GRADS)
    norm = float(np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(GRADS))))
    size = float(np.sqrt(sum(np.sum(np.square(p)) for p in jax.tree.leaves(opt.params))))
    assert opt.metrics == {
        "steps": 1,
        "skipped_steps": 0,
        "learning_rate": 0.5,
        "gradient_norm": pytest.approx(norm),
        "update_norm": pytest.approx(norm / 2),
        "parameter_norm": pytest.approx(size),
        "update_ratio": pytest.approx(norm / 2 / size),
    }
    before = jax.tree.map(np.asarray, opt.params)
    opt.step({"w": GRADS["w"].at[0, 0].set(jnp.nan), "b": GRADS["b"]})
    jax.tree.map(np.testing.assert_array_equal, opt.params, before)
    assert (opt.metrics["steps"], opt.metrics["skipped_steps"]) == (2, 1)


def test_a_skipped_step_leaves_the_state_as_it_was():
    opt = Optimizer(adam(0.1), PARAMS, skip_nonfinite=True)
    opt.step(jax.tree.map(lambda g: g * jnp.inf, GRADS))
    opt.step(GRADS)
    assert_close(opt.params, functional(adam(0.1), 1)[0])


def test_gradients_that_do_not_fit_lose_nothing():
    opt = Optimizer(adam(0.1), PARAMS)
    with pytest.raises(StructureError, match=r"differ at \['b'\]"):
        opt.step({"w": GRADS["w"], "b": jnp.ones(4)})
    opt.step(GRADS)
    assert_close(opt.params, functional(adam(0.1), 1)[0])


def test_a_restart_goes_on_exactly():
    opt = Optimizer(adam(lambda count: 0.1 / (count + 1)), PARAMS)
    opt.step(GRADS)
    opt.hyperparameters["b1"] = 0.8
    saved = opt.state_dict()
    expected = [np.asarray(opt.step(GRADS)["b"]) for _ in range(3)]
    other = Optimizer(adam(lambda count: 0.1 / (count + 1)), jax.tree.map(jnp.zeros_like, PARAMS))
    other.load_state_dict(saved)
    for value in expected:
        np.testing.assert_array_equal(other.step(GRADS)["b"], value)
    assert other.metrics["steps"] == 4


def test_a_state_dict_that_does_not_fit_is_refused_and_loses_nothing():
    opt = Optimizer(adam(0.1), PARAMS)
    saved = Optimizer(adam(0.1), {"w": PARAMS["w"], "b": jnp.ones(4)}).state_dict()
    with pytest.raises(StructureError, match=r"params/b \(\(4,\) float32 saved, \(3,\) float32 here\)"):
        opt.load_state_dict(saved)
    with pytest.raises(StructureError, match="version 2, got dict without a version"):
        opt.load_state_dict({})
    opt.step(GRADS)


def test_extra_arguments_reach_the_transformation():
    import optax

    opt = Optimizer(core.chain(optax.polyak_sgd(max_learning_rate=1.0)), PARAMS)
    opt.step(GRADS, value=jnp.asarray(0.5))
    ref = optax.polyak_sgd(max_learning_rate=1.0)
    updates, _ = ref.update(GRADS, ref.init(PARAMS), PARAMS, value=0.5)
    assert_close(opt.params, optax.apply_updates(PARAMS, updates))


def test_without_donation_old_parameters_stay():
    opt = Optimizer(sgd(0.1), PARAMS, donate=False)
    old = opt.params
    opt.step(GRADS)
    np.testing.assert_array_equal(old["b"], PARAMS["b"])


def test_without_gradients_the_right_call_is_shown():
    with pytest.raises(StructureError, match=r"step\(grads\)"):
        Optimizer(sgd(0.1), PARAMS).step()


# --- tensors of the autograd wing ------------------------------------------------------------------------------------


def test_tensors_train_by_their_own_gradients():
    from nablax import autograd

    w = autograd.tensor([[1.0, -2.0]], requires_grad=True)
    b = autograd.Parameter(jnp.zeros(1))
    frozen = autograd.tensor([5.0])
    opt = Optimizer(adam(0.1), [w, b, frozen])
    x, y = jnp.ones((4, 2)), jnp.full((4, 1), 2.0)

    def loss(w, b):
        return ((x @ w.T + b - y) ** 2).mean()

    params, tx = [jnp.array([[1.0, -2.0]]), jnp.zeros(1)], adam(0.1)
    state = tx.init(params)
    for _ in range(5):
        opt.zero_grad()
        loss(w, b).backward()
        assert opt.step() is opt.params
        grads = jax.grad(lambda p: loss(*p))(params)
        updates, state = tx.update(grads, state)
        params = core.apply_updates(params, updates)
    assert_close([w.detach().numpy(), b.detach().numpy()], params)
    np.testing.assert_array_equal(frozen.numpy(), [5.0])
    assert opt.compilations == 1
    opt.zero_grad()
    assert w.grad is None


def test_a_graph_recorded_before_a_step_still_has_its_values():
    from nablax import autograd

    w = autograd.tensor([3.0], requires_grad=True)
    opt = Optimizer(sgd(0.1), [w])
    y = (w * w).sum()
    y.backward(retain_graph=True)
    opt.step()
    opt.zero_grad()
    y.backward()
    np.testing.assert_allclose(w.grad.numpy(), [6.0])
    np.testing.assert_allclose(w.detach().numpy(), [2.4], rtol=1e-6)


def test_tensors_restart_from_a_state_dict():
    from nablax import autograd

    w = autograd.tensor([3.0], requires_grad=True)
    opt = Optimizer(sgd(0.1), [w])
    saved = opt.state_dict()
    (w * w).sum().backward()
    opt.step()
    opt.load_state_dict(saved)
    np.testing.assert_array_equal(w.detach().numpy(), [3.0])


def test_an_equinox_module_of_tensors_keeps_its_functions():
    eqx = pytest.importorskip("equinox")
    from nablax import autograd

    module = autograd.parameters(eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0)))
    opt = Optimizer(sgd(0.1), module)
    x, losses = autograd.tensor([0.5, -1.0]), []
    for _ in range(3):
        loss = (autograd.lift(lambda m, x: m(x))(module, x) ** 2).sum()
        loss.backward()
        losses.append(loss.item())
        opt.step()
        opt.zero_grad()
    assert losses[2] < losses[0]
    assert opt.params.activation is module.activation


def test_tensors_from_a_generator_and_a_loss_that_is_a_tensor():
    from nablax import autograd
    from nablax.optimizers import polyak_sgd

    w, b = autograd.Parameter([1.0, 2.0]), autograd.Parameter(3.0)
    opt = Optimizer(polyak_sgd(), (p for p in (w, b)))
    loss = (w * w).sum() + b * b
    loss.backward()
    opt.step(value=loss)
    np.testing.assert_allclose(
        w.numpy(force=True), [0.5, 1.0], rtol=1e-6
    )  # f / |g|^2 = 1/4 of the gradient 2 w
    np.testing.assert_allclose(b.item(), 1.5, rtol=1e-6)
    with pytest.raises(StructureError, match=r"params\['b'\] was computed from other tensors"):
        Optimizer(sgd(0.1), {"a": w, "b": w * 2})
