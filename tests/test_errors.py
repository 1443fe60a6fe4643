"""Mistakes that users make: each is answered with who speaks, which argument, what is allowed and what came."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
import nablax.optax
from nablax import (
    assignment,
    autograd,
    distributed,
    games,
    losses,
    perturbations,
    projections,
    schedules,
    second_order,
    tree,
)
from nablax.autograd import nn

PARAMS = {"w": jnp.ones(3), "b": jnp.zeros(())}
SCORES, LABELS = jnp.zeros((4, 3)), jnp.array([0, 1, 2, 0])


def loss(params):
    return jnp.sum(params["w"] ** 2) + params["b"]


def a_step(loss_fn, **options):
    tx = nablax.sgd(0.1)
    return nablax.train_step(loss_fn, tx, donate=False, **options)(PARAMS, tx.init(PARAMS))


def optimizer():
    return nablax.Optimizer(nablax.adam(0.1), PARAMS)


def x():
    return autograd.tensor(np.zeros((2, 3), np.float32))


MISTAKES = {
    # perturbations
    "scores that are one number": (
        lambda: perturbations.perturbed_argmax(jax.random.key(0), 1.0),
        nablax.StructureError,
        "perturbed_argmax: scores must be an array of real numbers of shape (..., n), got float: 1.0.",
    ),
    "no costs": (
        lambda: perturbations.perturbed_shortest_path(jax.random.key(0), None),
        nablax.StructureError,
        "perturbed_shortest_path: costs must be an array of real numbers of shape (height, width), got NoneType: None.",
    ),
    "no distribution": (
        lambda: perturbations.score_function_jacobians(jnp.sum, [jnp.ones(2)], None, jax.random.key(0), 8),
        nablax.ArgumentError,
        "score_function_jacobians: dist_builder must be a function, got NoneType: None.",
    ),
    "a decay in words": (
        lambda: perturbations.moving_avg_baseline(jnp.sum, decay="slow"),
        nablax.ArgumentError,
        "moving_avg_baseline: decay must be a real number, got str: 'slow'.",
    ),
    "a number of steps that is an array": (
        lambda: nablax.lookahead(nablax.sgd(0.1), sync_period=jnp.array([5, 6]), slow_step_size=0.5),
        nablax.ArgumentError,
        "lookahead: sync_period must be an integer, got",
    ),
    # what is owned, saved, measured
    "no path": (
        lambda: nablax.save(None, PARAMS),
        nablax.ArgumentError,
        "save: path must be a path, got NoneType: None.",
    ),
    "a number for a file": (
        lambda: optimizer().load(3),
        nablax.ArgumentError,
        "Optimizer.load: path must be a path, got int: 3.",
    ),
    "a folder that is none": (
        lambda: nablax.CheckpointManager(3),
        nablax.ArgumentError,
        "CheckpointManager: folder must be a path, got int: 3.",
    ),
    "a logger to nowhere": (
        lambda: nablax.runtime.CSVLogger(None),
        nablax.ArgumentError,
        "CSVLogger: path must be a path, got NoneType: None.",
    ),
    "a state dict of no transformation": (
        lambda: nablax.state_dict("adam", ()),
        nablax.ArgumentError,
        "state_dict: tx must be a gradient transformation, with functions init and update, got 'adam'.",
    ),
    "metrics that are a list": (
        lambda: nablax.Optimizer(nablax.adam(0.1), PARAMS, metrics=["loss"]),
        nablax.ArgumentError,
        "Optimizer: metrics must be a bool, got list: ['loss'].",
    ),
    "no batches": (
        lambda: nablax.lr_finder(lambda p, x: jnp.sum(p["w"] * x), PARAMS, None, tx=nablax.sgd(0.1)),
        nablax.ArgumentError,
        "lr_finder: batches must be iterable, got NoneType: None.",
    ),
    "memory of a name": (
        lambda: nablax.describe_memory(nablax.adam(0.1), {"w": "kernel"}),
        nablax.StructureError,
        "describe_memory: params['w'] is no array, but str.",
    ),
    "an argument by its name": (
        lambda: nablax.runtime.micro_grad(lambda p, x: jnp.sum(p * x), batch_argnums="x"),
        nablax.ArgumentError,
        "micro_grad: batch_argnums must be the position of an argument, or several, got 'x'.",
    ),
    "payoffs of one player": (
        lambda: games.exploitability(1.0, [jnp.ones(1)]),
        nablax.ArgumentError,
        "games.exploitability: payoffs must be iterable, got float: 1.0.",
    ),
    "a player by number": (
        lambda: games.field(lambda x, y: x * y, minimize=0, maximize="y"),
        nablax.ArgumentError,
        "games.field: minimize must be the name of a player, or several, got 0.",
    ),
    # trees
    "a dtype that is a device": (
        lambda: tree.cast(PARAMS, "cpu"),
        TypeError,
        "tree.cast: dtype must be one, such as jnp.bfloat16 or 'float32', got 'cpu'.",
    ),
    "a leaf that is no array": (
        lambda: tree.norm({"w": jnp.ones(2), "name": "cpu"}),
        TypeError,
        "tree.norm: tree['name'] must be an array, got str: 'cpu'.",
    ),
    "in the second tree": (
        lambda: tree.add({"w": jnp.ones(2)}, {"w": len}),
        TypeError,
        "tree.add: tree_y['w'] must be an array, got builtin_function_or_method:",
    ),
    "arguments that changed places": (
        lambda: tree.scale(PARAMS, 2.0),
        TypeError,
        "tree.scale: scalar must be a number or an array, got dict. The order is scale(scalar, tree).",
    ),
    "a seed for a key": (
        lambda: tree.random_like(0, PARAMS),
        TypeError,
        "rng_key must be a random key, such as jax.random.key(0), got int: 0.",
    ),
    # losses and schedules
    "labels that are no array": (
        lambda: losses.softmax_cross_entropy_with_integer_labels(SCORES, None),
        nablax.ArgumentError,
        "labels must be an array of numbers, got NoneType: None.",
    ),
    "labels of floats": (
        lambda: losses.softmax_cross_entropy_with_integer_labels(SCORES, LABELS * 1.0),
        nablax.ArgumentError,
        "labels must be of an integer dtype, got float32.",
    ),
    "a negative delta": (
        lambda: losses.huber_loss(SCORES, delta=-1.0),
        nablax.HyperparameterError,
        "huber_loss: delta must not be negative, got -1.0.",
    ),
    "a temperature of 0": (
        lambda: losses.ntxent(SCORES, LABELS, temperature=0),
        nablax.HyperparameterError,
        "ntxent: temperature must be positive, got 0.",
    ),
    "a maximum that is no function": (
        lambda: losses.make_fenchel_young_loss("max"),
        nablax.ArgumentError,
        "make_fenchel_young_loss: max_fun must be a function, got 'max'.",
    ),
    "one schedule for a list": (
        lambda: schedules.join_schedules(schedules.constant_schedule(1.0), [5]),
        nablax.ArgumentError,
        "join_schedules: schedules must be a list, got",
    ),
    "a list for a dict of boundaries": (
        lambda: schedules.piecewise_constant_schedule(1.0, [5]),
        nablax.ArgumentError,
        "piecewise_constant_schedule: boundaries_and_scales must be a dict of a boundary's factors or None, got list",
    ),
    "one cycle for a list": (
        lambda: schedules.sgdr_schedule({"decay_steps": 5}),
        nablax.ArgumentError,
        "sgdr_schedule: cosine_kwargs must be a list of dicts with the arguments of",
    ),
    "a schedule for a number": (
        lambda: schedules.linear_onecycle_schedule(lambda t: 10, 1.0),
        nablax.ArgumentError,
        "linear_onecycle_schedule: transition_steps must be a real number, got function",
    ),
    "a loss of nothing": (
        lambda: losses.dice_loss(None, SCORES),
        nablax.ArgumentError,
        "dice_loss: predictions must be an array of numbers, got NoneType: None.",
    ),
    "an array for a number": (
        lambda: losses.binary_dice_loss(SCORES, SCORES, smooth=jnp.ones(3)),
        nablax.ArgumentError,
        "binary_dice_loss: smooth must be a number, got an array of shape (3,).",
    ),
    "a margin that is a word": (
        lambda: losses.triplet_margin_loss(SCORES, SCORES, SCORES, margin="1"),
        nablax.ArgumentError,
        "triplet_margin_loss: margin must be an array of numbers, got str: '1'.",
    ),
    # projections and assignment
    "a projection of a word": (
        lambda: projections.projection_l1_ball({"w": "w"}),
        nablax.ArgumentError,
        "projection_l1_ball: tree must hold numbers or arrays, got str: 'w' at ['w'].",
    ),
    "a hyperplane without an offset": (
        lambda: projections.projection_hyperplane(jnp.ones(2), jnp.ones(2), None),
        nablax.ArgumentError,
        "projection_hyperplane: b must be a number, got NoneType: None.",
    ),
    "costs that are no array": (
        lambda: assignment.hungarian_algorithm(None),
        nablax.ArgumentError,
        "hungarian_algorithm: cost_matrix must be an array of numbers, got NoneType: None.",
    ),
    # transformations
    "an optimizer that was not called": (
        lambda: nablax.chain(nablax.clip(1.0), nablax.adam),
        nablax.ArgumentError,
        "Call it first: adam(...).",
    ),
    "the state of another optimizer": (
        lambda: nablax.adam(0.1).update(PARAMS, nablax.sgd(0.1, momentum=0.9).init(PARAMS)),
        nablax.StructureError,
        "scale_by_adam: update() got TraceState, the state of another transformation. Call init(params)",
    ),
    "the state from before a mask": (
        lambda: nablax.adamw(0.1, mask={"w": True, "b": False}).update(
            PARAMS, nablax.adamw(0.1).init(PARAMS), PARAMS
        ),
        nablax.StructureError,
        "update() got EmptyState, the state of another transformation.",
    ),
    "a dtype for a moment": (
        lambda: nablax.adam(0.1, mu_dtype="cpu"),
        nablax.ArgumentError,
        "adam: mu_dtype must be a floating or complex dtype or None, got 'cpu'.",
    ),
    "a dict for a dtype": (
        lambda: nablax.adam(0.1, mu_dtype={"w": jnp.float32}),
        nablax.ArgumentError,
        "adam: mu_dtype must be a floating or complex dtype or None, got dict",
    ),
    "a number for names": (
        lambda: nablax.inject_hyperparams(nablax.adam, static_args=3),
        nablax.ArgumentError,
        "inject_hyperparams: static_args must be the names of parameters, got int: 3.",
    ),
    "a rule for the rest that is none": (
        lambda: nablax.partition_by_path({"bias$": nablax.sgd(0.1)}, default=0.1),
        nablax.ArgumentError,
        "partition_by_path: default must be a gradient transformation, with functions init and update",
    ),
    "a line search that is a word": (
        lambda: nablax.lbfgs(linesearch="zoom"),
        nablax.ArgumentError,
        "lbfgs: linesearch must be a gradient transformation, with functions init and update or None, got 'zoom'.",
    ),
    # the runtime
    "gradients of an array": (
        lambda: optimizer().step(jnp.ones(3)),
        nablax.StructureError,
        "scale_by_adam: updates and state.mu differ at the root: state.mu has dict there.",
    ),
    "torch's groups": (
        lambda: nablax.Optimizer(nablax.adam(0.1), [{"params": nn.Linear(3, 4).parameters(), "lr": 0.1}]),
        nablax.ArgumentError,
        "Optimizer: params must be a tree of arrays or tensors, got torch's groups of parameters. Groups with",
    ),
    "torch's groups in a list": (
        lambda: nablax.Optimizer(
            nablax.adam(0.1), [{"params": list(nn.Linear(3, 4).parameters()), "lr": 0.1}]
        ),
        nablax.ArgumentError,
        "Optimizer: params must be a tree of arrays or tensors, got torch's groups of parameters. Groups with",
    ),
    "torch's state dict": (
        lambda: optimizer().load_state_dict({"state": {}, "param_groups": []}),
        nablax.StructureError,
        "load_state_dict: this is a state dict of torch; from_torch(found, opt.tx, params) reads it.",
    ),
    "a dict of no state": (
        lambda: optimizer().load_state_dict({"w": 1.0}),
        nablax.StructureError,
        "load_state_dict: expected what state_dict() returns, of version 2, got dict without a version.",
    ),
    "a name of another wing": (
        lambda: nablax.softmax_cross_entropy,
        AttributeError,
        "nablax has no attribute 'softmax_cross_entropy'; it is nablax.losses.softmax_cross_entropy",
    ),
    "a name as torch writes it": (
        lambda: nablax.Adam,
        AttributeError,
        "nablax has no attribute 'Adam'; did you mean 'adam'?",
    ),
    "a module for its parameters": (
        lambda: nablax.Optimizer(nablax.adam(0.1), nn.Linear(3, 4)),
        nablax.ArgumentError,
        "Optimizer: params must hold arrays or tensors, got Linear without any. Of an autograd module give "
        "module.parameters().",
    ),
    "torch's name of the rate": (
        lambda: nablax.adam(lr=1e-3),
        nablax.ArgumentError,
        "adam: no argument is called 'lr'; did you mean learning_rate? It takes learning_rate, b1, b2, eps, ",
    ),
    "torch's pair of decays": (
        lambda: nablax.adamw(1e-3, betas=(0.9, 0.99)),
        TypeError,
        "adamw: no argument is called 'betas'; did you mean b1 and b2? It takes",
    ),
    "the decay of an optimizer that has none": (
        lambda: nablax.adam(1e-3, weight_decay=0.1),
        TypeError,
        "adam: no argument is called 'weight_decay'. adamw has one, and add_decayed_weights is one for any chain.",
    ),
    "torch's optimizer of parameters": (
        lambda: nablax.adam(nn.Linear(3, 4).parameters(), lr=1e-3),
        TypeError,
        "adam: no argument is called 'lr'; did you mean learning_rate? Parameters go to nablax.Optimizer(tx, params).",
    ),
    "a slip of the pen": (
        lambda: nablax.clip_by_global_norm(max_nrom=1.0),
        TypeError,
        "clip_by_global_norm: no argument is called 'max_nrom'; did you mean max_norm? It takes max_norm.",
    ),
    "no rate": (
        lambda: nablax.adam(),
        TypeError,
        "adam: missing a required argument: 'learning_rate'. It takes learning_rate, b1",
    ),
    "too much": (
        lambda: nablax.sgd(0.1, 0.9, True, None, 5),
        TypeError,
        "sgd: too many positional arguments. It takes learning_rate, momentum, nesterov, accumulator_dtype.",
    ),
    "torch's name in a changed call": (
        lambda: nablax.adam(0.1).replace(lr=0.2),
        TypeError,
        "adam.replace: no argument is called 'lr'; did you mean learning_rate? It takes",
    ),
    "torch's name where numbers are injected": (
        lambda: nablax.inject_hyperparams(nablax.adam)(lr=0.2),
        TypeError,
        "inject_hyperparams(adam): no argument is called 'lr'; did you mean learning_rate? It takes",
    ),
    "torch's name among live numbers": (
        lambda: optimizer().hyperparameters["lr"],
        KeyError,
        "hyperparameters: 'lr' is none of them (learning_rate is meant?); there are adam/learning_rate",
    ),
    "an optimizer of parameters and a rate": (
        lambda: nablax.Optimizer(nn.Linear(3, 4).parameters(), lr=1e-3),
        TypeError,
        "Optimizer: no argument is called 'lr'. A rate belongs to an optimizer, such as nablax.adam(1e-3), or to "
        "scale_by_learning_rate. Call Optimizer(nablax.adam(1e-3), params).",
    ),
    "an optimizer without parameters": (
        lambda: nablax.Optimizer(nablax.adam(1e-3)),
        TypeError,
        "Optimizer: missing a required argument: 'params'. Call Optimizer(nablax.adam(1e-3), params).",
    ),
    "parameters before the transformation": (
        lambda: nablax.Optimizer(PARAMS, nablax.adam(1e-3)),
        nablax.ArgumentError,
        "Optimizer: A gradient transformation is an object with functions init and update, got dict: ",
    ),
    "an attribute of torch's optimizers": (
        lambda: optimizer().param_groups,
        AttributeError,
        "'Optimizer' object has no attribute 'param_groups'; numbers are set by opt.hyperparameters['learning_rate']",
    ),
    "a step with loss and gradients": (
        lambda: optimizer().step(loss(PARAMS), PARAMS),
        TypeError,
        "Optimizer.step: grads is the one argument by position, got 2. Call step(grads), with grads = ",
    ),
    "a step with nothing": (
        lambda: optimizer().step(),
        nablax.StructureError,
        "Optimizer.step needs the gradients. Call step(grads), with grads = jax.grad(loss_fn)(opt.params, *batch).",
    ),
    "a step with the loss": (
        lambda: optimizer().step(loss(PARAMS)),
        nablax.StructureError,
        "The gradients must be a tree like the parameters, got an array of shape (). Call step(grads), with",
    ),
    "a step of tensors with torch's closure": (
        lambda: nablax.Optimizer(nablax.adam(0.1), nn.Linear(3, 4).parameters()).step(lambda: 0.0),
        nablax.StructureError,
        "Optimizer.step: grads must be an array, got function: ",
    ),
    "a step of the loss alone": (
        lambda: nablax.train_step(loss),
        TypeError,
        "train_step: missing a required argument: 'tx'. Call train_step(loss_fn, nablax.adam(1e-3)); it returns",
    ),
    "a step without a state": (
        lambda: nablax.train_step(loss, nablax.adam(0.1))(PARAMS),
        TypeError,
        "the step of train_step: missing a required argument: 'state'. Call step(params, state, *batch), first with",
    ),
    "a step of the state and the parameters": (
        lambda: nablax.train_step(loss, nablax.adam(0.1))(nablax.adam(0.1).init(PARAMS), PARAMS),
        TypeError,
        "train_step: params and state changed places. Call step(params, state, *batch)",
    ),
    "a batch that the loss does not take": (
        lambda: nablax.train_step(loss, nablax.sgd(0.1))(PARAMS, nablax.sgd(0.1).init(PARAMS), jnp.ones(3)),
        TypeError,
        "train_step: loss_fn: too many positional arguments. With params, 1 came for the batch of loss_fn(params).",
    ),
    "a batch by name": (
        lambda: nablax.train_step(loss, nablax.sgd(0.1))(PARAMS, nablax.sgd(0.1).init(PARAMS), x=jnp.ones(3)),
        TypeError,
        "the step of train_step: no argument is called 'x'. Call step(params, state, *batch), first with",
    ),
    "a batch of words": (
        lambda: nablax.train_step(lambda p, x: loss(p), nablax.sgd(0.1))(
            PARAMS, nablax.sgd(0.1).init(PARAMS), "cpu"
        ),
        TypeError,
        "train_step: batch[0] must be an array, got str: 'cpu'.",
    ),
    "a number for live numbers": (
        lambda: nablax.train_step(loss, nablax.sgd(0.1))(
            PARAMS, nablax.sgd(0.1).init(PARAMS), hyperparams=0.1
        ),
        TypeError,
        "train_step: hyperparams must be a dict of numbers by name, got float: 0.1.",
    ),
    "one callback for a list": (
        lambda: nablax.Optimizer(nablax.adam(0.1), PARAMS, callbacks=print),
        nablax.ArgumentError,
        "Optimizer: callbacks must be a list of functions, got",
    ),
    "a loss for its gradient": (
        lambda: optimizer().step(loss),
        nablax.StructureError,
        "Optimizer.step: grads must be an array, got function:",
    ),
    "a name inside gradients": (
        lambda: optimizer().step({**PARAMS, "w": "w"}),
        nablax.StructureError,
        "Optimizer.step: grads['w'] must be an array, got str: 'w'.",
    ),
    "an optimizer without numbers": (
        lambda: nablax.Optimizer(nablax.identity(), PARAMS).hyperparameters["learning_rate"],
        KeyError,
        "'learning_rate' is none of them; there are none",
    ),
    "a step without a loss": (
        lambda: nablax.train_step(PARAMS, nablax.sgd(0.1)),
        nablax.ArgumentError,
        "train_step: loss_fn must be a function, got dict",
    ),
    "a loss that is no scalar": (
        lambda: a_step(lambda p: p["w"]),
        nablax.StructureError,
        "train_step: loss_fn must return a scalar, got an array of shape (3,).",
    ),
    "a loss with more than it says": (
        lambda: a_step(lambda p: (loss(p), 1.0)),
        nablax.StructureError,
        "train_step: loss_fn must return a scalar, got tuple. has_aux=True lets it return (loss, aux).",
    ),
    "a loss with less than it says": (
        lambda: a_step(loss, has_aux=True),
        nablax.StructureError,
        "train_step: with has_aux=True loss_fn must return a pair (loss, aux), got an array of shape ().",
    ),
    "a key that the loss does not take": (
        lambda: nablax.train_step(loss, nablax.sgd(0.1), keys="key"),
        nablax.ArgumentError,
        "train_step: keys names 'key', but after the parameters loss_fn takes nothing.",
    ),
    # other wings
    "a perturbed name": (
        lambda: perturbations.make_perturbed_fun("f"),
        nablax.ArgumentError,
        "make_perturbed_fun: fun must be a function, got 'f'.",
    ),
    "the root of a name": (
        lambda: second_order.custom_root("f"),
        nablax.ArgumentError,
        "custom_root: optimality_fun must be a function, got 'f'.",
    ),
    "solvers in a list": (
        lambda: second_order.custom_root(loss, solve=["cg"]),
        nablax.ArgumentError,
        "custom_root: solve must be one of 'cg', 'gmres', 'bicgstab' or a function (matvec, b) -> x, got ['cg'].",
    ),
    "a matrix for a product": (
        lambda: second_order.hutchinson_trace(jnp.eye(2), jnp.ones(2), jax.random.key(0)),
        nablax.ArgumentError,
        "hutchinson_trace: product must be a function, got ArrayImpl",
    ),
    "a trace without a key": (
        lambda: second_order.hutchinson_diag(lambda v: v, jnp.ones(2), None),
        nablax.ArgumentError,
        "hutchinson_diag: key must be a random key, such as jax.random.key(0), got NoneType: None.",
    ),
    "products of nothing": (
        lambda: second_order.hessian_product(None, jnp.ones(2)),
        nablax.ArgumentError,
        "hessian_product: fun must be a function, got NoneType: None.",
    ),
    "the diagonal of a name": (
        lambda: second_order.hessian_diag(lambda p, x, y: 0.0, {"w": "w"}, None, None),
        nablax.ArgumentError,
        "hessian_diag: params['w'] must be an array of numbers, got str: 'w'.",
    ),
    "a start that is nothing": (
        lambda: nablax.minimize(lambda x: 0.0, None),
        nablax.ArgumentError,
        "minimize: x0 must be a number, an array or a tree of them, got None.",
    ),
    "a method that is a number": (
        lambda: nablax.minimize(lambda x: 0.0, 1.0, method=0.1),
        nablax.ArgumentError,
        "minimize: method must be a gradient transformation, with functions init and update, got float: 0.1.",
    ),
    "an estimate of nothing": (
        lambda: perturbations.es_gradient(None, jax.random.key(0), PARAMS),
        nablax.ArgumentError,
        "es_gradient: fun must be a function, got NoneType: None.",
    ),
    "three evaluations in pairs": (
        lambda: perturbations.spsa(loss, jax.random.key(0), PARAMS, num_samples=3),
        nablax.HyperparameterError,
        "spsa: num_samples must be even for antithetic pairs, got 3.",
    ),
    "a number for a method": (
        lambda: games.solve(games.methods.simultaneous(0.1), 3, jnp.ones(2), steps=1),
        nablax.ArgumentError,
        "games.solve: field must be a field or a function of the point, got int: 3.",
    ),
    "a launch of nothing": (
        lambda: distributed.launch(None),
        nablax.ArgumentError,
        "launch: arguments must be a list of strings, as on the command line, got None.",
    ),
    "a launch of a line": (
        lambda: distributed.launch("--processes 2 train.py"),
        nablax.ArgumentError,
        "launch: arguments must be a list of strings, as on the command line, got '--processes 2 train.py'.",
    ),
    "a payoff for each row": (
        lambda: games.field(lambda x, y: x * y, minimize="x", maximize="y")(
            {"x": jnp.ones(2), "y": jnp.ones(2)}
        ),
        nablax.StructureError,
        "games.field: the objective <lambda> must return a scalar, got an array of shape (2,).",
    ),
    # autograd
    "a tensor of a device": (
        lambda: autograd.tensor([1.0], dtype="cpu"),
        autograd.AutogradError,
        "tensor: dtype must be one, such as 'float32', got 'cpu'. At ",
    ),
    "zeros of a device": (
        lambda: autograd.zeros(2, 3, dtype="cpu"),
        autograd.AutogradError,
        "dtype must be one, such as 'float32', got 'cpu'. At ",
    ),
    "a cast to nothing": (
        lambda: x().to("flaot32"),
        autograd.AutogradError,
        "to: dtype must be one, such as 'float32', got 'flaot32'. At ",
    ),
    "rows of several lengths": (
        lambda: autograd.tensor([[1.0, 2.0], [3.0]]),
        autograd.AutogradError,
        "tensor: value must be numbers in rows of one length: ",
    ),
    "the number in a row": (
        lambda: x()[0].item(),
        autograd.NonScalarError,
        "item: one element is one number, got shape (3,). Reduce it first, x.sum().item(), or take x.tolist(). At ",
    ),
    "a pickle": (
        lambda: autograd.load("model.pth", weights_only=False),
        ValueError,
        "load: weights_only must be True, got False: only tensors are read, never pickles.",
    ),
    "a mean over no axis": (
        lambda: x().mean(9),
        IndexError,
        "mean: dim must lie in -2 to 1, got 9. At ",
    ),
    "an extreme of no axis": (
        lambda: x().max(dim=-3),
        IndexError,
        "max: dim must lie in -2 to 1, got -3. At ",
    ),
    "an axis that is a word": (
        lambda: x().sum("cpu"),
        autograd.ShapeError,
        "sum: dim must be an integer or several, got 'cpu'. At ",
    ),
    "a sum with a word": (
        lambda: autograd.add(x(), "cpu"),
        autograd.ShapeError,
        "add: other must be a tensor, an array or a number, got 'cpu'. At ",
    ),
    "a function for a number": (
        lambda: autograd.topk(x(), len),
        autograd.ShapeError,
        "topk: k must be a tensor, a number, a word or a dtype, got builtin_function_or_method: <built-in",
    ),
    "a name that torch does not have either": (
        lambda: x().sum(dmi=1),
        TypeError,
        "sum: got an unexpected keyword argument 'dmi'. It is sum(input, dim=None, keepdim=False, *, dtype=None). At ",
    ),
    "a layer of words": (
        lambda: nn.Linear("in", "out"),
        autograd.ShapeError,
        "Linear: Linear(in_features, out_features, bias=True, *, device=None, dtype=None) does not take "
        "in_features='in', out_features='out': ",
    ),
    "weights of nothing": (
        lambda: nn.init.normal_(None),
        autograd.ShapeError,
        "normal_: tensor must be a tensor, an array or a number, got None. At ",
    ),
    "an array of words": (
        lambda: nn.init.constant_(x(), "w"),
        autograd.ShapeError,
        "an array of numbers is needed, got one of dtype <U1. At ",
    ),
    "a word in place": (
        lambda: x().mul_(object()),
        autograd.ShapeError,
        "mul_: y must be a tensor, an array or a number, got object: <object object at ",
    ),
    "zeros of a shape in words": (
        lambda: x().new_zeros("cpu"),
        autograd.ShapeError,
        "new_zeros: new_zeros(*args, **kwargs) does not take ",
    ),
    "the size along a word": (
        lambda: x().size("cpu"),
        autograd.ShapeError,
        "size: dim must be an integer, got str: 'cpu'. At ",
    ),
    "the type of a word": (
        lambda: x().type_as("cpu"),
        autograd.ShapeError,
        "type_as: other must be a tensor, got str: 'cpu'.",
    ),
    "the derivative of a number": (
        lambda: autograd.hessian(3.0, x()),
        autograd.ShapeError,
        "hessian: fn must be a function, got 3.0. At ",
    ),
    "an element that there is not": (
        lambda: x()[5],
        IndexError,
        "x[i]: the index of axis 0 must lie in -2 to 1, got 5. At ",
    ),
    "an index that there is not": (
        lambda: autograd.gather(x(), 1, autograd.tensor([[0, 3]])),
        RuntimeError,  # torch's, as IndexError is
        "gather: index must lie in -3 to 2, got 3. At ",
    ),
    "a row that there is not": (
        lambda: nn.functional.embedding(autograd.tensor([0, -1]), x()),
        IndexError,
        "embedding: input must lie in 0 to 1, got -1. At ",
    ),
    "a class that there is not": (
        lambda: nn.functional.cross_entropy(x(), autograd.tensor([2, 3])),
        IndexError,
        "cross_entropy: target must lie in 0 to 2, got 3. At ",
    ),
    "a place that there is not": (
        lambda: nn.functional.one_hot(autograd.tensor([0, 7]), 3),
        RuntimeError,
        "one_hot: tensor must lie in 0 to 2, got 7. At ",
    ),
    "a count below zero": (
        lambda: autograd.bincount(autograd.tensor([0, -1])),
        RuntimeError,
        "bincount: input must be at least 0, got -1. At ",
    ),
    # core
    "a norm of a word": (
        lambda: nablax.optax.safe_norm("cpu", 1e-6),
        nablax.ArgumentError,
        "safe_norm: x must be an array of numbers, got 'cpu'.",
    ),
    "equations of a word": (
        lambda: nablax.optax.nnls(jnp.eye(2), "cpu", 2),
        nablax.ArgumentError,
        "nnls: b must be an array of numbers, got 'cpu'.",
    ),
    "the leaves of no transformation": (
        lambda: nablax.core.state_leaves("adam", ()),
        nablax.ArgumentError,
        "state_leaves: tx must be a gradient transformation, with functions init and update, got 'adam'.",
    ),
    "a swap with no axis": (
        lambda: x().transpose(0, 5),
        IndexError,
        "transpose: dims must lie in -2 to 1, got (0, 5). At ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_answer_says_what_to_do(mistake):
    call, kind, said = MISTAKES[mistake]
    with pytest.raises(kind, match=re.escape(said)):
        call()


def test_indices_that_can_be_meant_pass():
    at = autograd.tensor([-1, 0])
    assert x().index_select(0, at).shape == (2, 3)
    assert x().take(autograd.tensor([5, -6])).shape == (2,)
    assert nn.functional.one_hot(autograd.tensor(np.array([0, 2], np.uint8)), 3).shape == (2, 3)
    ignored = nn.functional.cross_entropy(x(), autograd.tensor([-100, 2]))
    assert ignored.item() == pytest.approx(np.log(3.0))
    shares = nn.functional.cross_entropy(x(), autograd.tensor([[0, 0, 7], [7, 0, 0]]))  # of whole numbers
    assert shares.item() == pytest.approx(7 * np.log(3.0))
    assert nn.functional.embedding(autograd.tensor([[1]])[:, ::1], x()).shape == (1, 1, 3)
    assert autograd.gather(x(), 1, autograd.tensor([[0, 9, 9]])[:, ::2] * 0).shape == (1, 2)


def test_an_index_that_is_only_recorded_is_not_waited_for():
    far = autograd.tensor([[7]]) + 0
    assert autograd.gather(x() + 1, 1, far).tolist() == [[1.0]]
    assert np.isnan(nn.functional.cross_entropy(x(), autograd.tensor([7, 7]) + 0).item())


def test_a_computed_tensor_detaches_in_place():
    a = autograd.tensor([1.0, 2.0])
    assert (a * 2).realize().detach_().tolist() == [2.0, 4.0]
    assert a.detach_() is a
    w = autograd.tensor([1.0, 2.0], requires_grad=True)
    h = (w * 3).realize().detach_()
    assert not h.requires_grad
    (h * w).sum().backward()
    assert w.grad.tolist() == [3.0, 6.0]
    assert "cpu" not in a


def test_a_lifted_function_without_results_leaves_the_recording_whole():
    nothing = autograd.lift(lambda a: ())
    a = autograd.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        a.grad = None
        y = a * 2
        assert nothing(y) == ()
        (y * a).sum().backward()
        assert a.grad.tolist() == [4.0, 8.0]


def test_what_can_be_meant_passes():
    assert jax.tree.leaves(nablax.Optimizer(nablax.adam(0.1), {}).params) == []
    nablax.Optimizer(nablax.adam(0.1), PARAMS, callbacks=(print,))
    assert tree.zeros_like(PARAMS, "bfloat16")["w"].dtype == jnp.bfloat16
    assert float(a_step(lambda p: jnp.float32(3.0))[2]["loss"]) == 3.0
    assert x().mean(-1).shape == (2,)
    assert autograd.tensor([1.0], dtype="bfloat16").dtype == jnp.bfloat16
