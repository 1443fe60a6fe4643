"""Calls of `Optimizer` and `train_step` that went wrong, answered with the right ones; asked once an error is there."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import jax

from nablax.core import MISSING, ArgumentError, StructureError, unbound, with_extra_args_support
from nablax.runtime._modules import first_other
from nablax.tree import is_none

OPTIMIZER = "Call Optimizer(nablax.adam(1e-3), params)."
TRAIN_STEP = "Call train_step(loss_fn, nablax.adam(1e-3)); it returns step(params, state, *batch)."
STEP = "Call step(params, state, *batch), first with state = step.init(params)."
OWNED_STEP = "Call step(grads), with grads = jax.grad(loss_fn)(opt.params, *batch)."
_OF_FLAX = (
    "nnx.grad gives the leaves of nnx.state(model, nnx.Param): begin with Optimizer(tx, nnx.state(model, nnx.Param)), "
    "and nnx.update(model, opt.copy_params()) after a step; or take jax.grad(loss_fn)(opt.params, *batch)."
)
_BESIDE = "What the transformation asks for goes by name: step(grads, value=loss)."
_ELSEWHERE = {
    "param_groups": "numbers are set by opt.hyperparameters['learning_rate'] = 0.01",
    "add_param_group": "groups belong to the transformation: partition_by_path({pattern: adam(0.1)}, default=...)",
    "lr": "it is opt.hyperparameters['learning_rate']",
    "learning_rate": "it is opt.hyperparameters['learning_rate']",
    "update": "opt.step(grads) updates the parameters, opt.tx.update is the transformation's",
    "apply_gradients": "opt.step(grads) applies them",
    "parameters": "they are opt.params",
    "backward": "gradients are jax.grad(loss_fn)(opt.params), or loss.backward() of a tensor",
}


def transformation(who: str, tx: Any, right: str) -> Any:
    """The transformation, with the right call where it is none.

    Raises:
      ArgumentError: tx is no transformation.
    """
    try:
        return with_extra_args_support(tx)
    except ArgumentError as error:
        raise ArgumentError(f"{who}: {error} {right}") from None


def check_attribute(name: str) -> None:
    """Says what it is called here, of an attribute that others' optimizers have.

    Raises:
      AttributeError: it is one.
    """
    if name in _ELSEWHERE:
        raise AttributeError(f"'Optimizer' object has no attribute {name!r}; {_ELSEWHERE[name]}.")


def several(given: tuple[Any, ...]) -> ArgumentError:
    """The error of a step with more than gradients by position."""
    return ArgumentError(
        f"Optimizer.step: grads is the one argument by position, got {len(given)}. {OWNED_STEP} {_BESIDE}"
    )


def check_gradients(error: Exception, grads: Any, params: Any) -> None:
    """Says so where gradients are not arrays in the structure of the parameters.

    Raises:
      StructureError: they are not.
    """
    found = first_other(grads)
    if found is not None and not hasattr(found[1], "requires_grad"):
        path, x = found
        raise StructureError(
            f"Optimizer.step: grads{path} must be an array, got {type(x).__name__}: {x!r}."[:300]
        ) from error
    if grads is None or not isinstance(error, StructureError):
        return
    wanted, came = (str(jax.tree.structure(x, is_leaf=is_none)) for x in (params, grads))
    if wanted != came:
        shown = f"an array of shape {grads.shape}" if hasattr(grads, "shape") else f"{type(grads).__name__}"
        flax = type(grads).__module__.startswith("flax.") and type(grads) is not type(params)
        right = _OF_FLAX if flax else OWNED_STEP
        raise StructureError(
            f"Optimizer.step: {error} The gradients must be a tree like the parameters, got {shown}. {right}"
        ) from error


def _step(params: Any, state: Any, *batch: Any, hyperparams: dict[str, Any] | None = None) -> Any:
    """The arguments of a step of `train_step`."""


SIGNATURE = inspect.signature(_step)


def wrong_step(params: Any, state: Any, batch: tuple[Any, ...], strange: dict[str, Any]) -> ArgumentError:
    """The error of a step of `train_step` with arguments missing, or by names that it does not have."""
    given = [x for x in (params, state, *batch) if x is not MISSING]
    by_name = "The batch goes by position, numbers as hyperparams={'learning_rate': 0.1}." if strange else ""
    return unbound("the step of train_step", SIGNATURE, given, strange, f"{STEP} {by_name}".strip())


def check_call(
    error: Exception, loss_fn: Callable[..., Any], tx: Any, params: Any, state: Any, batch: tuple[Any, ...]
) -> None:
    """Says so where a step of `train_step` was called with other arguments than it takes.

    Raises:
      ArgumentError: the batch is not what the loss takes or holds no arrays, or state and parameters changed places.
    """
    if _fits(tx, state, params) and not _fits(tx, params, state):
        raise ArgumentError(f"train_step: params and state changed places. {STEP}") from None
    found = first_other(batch)
    if found is not None:
        path, x = found
        raise ArgumentError(
            f"train_step: batch{path} must be an array, got {type(x).__name__}: {x!r}. {STEP}"[:400]
        ) from error
    try:
        signature = inspect.signature(loss_fn)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(params, *batch)
    except TypeError:
        came = f"With params, {len(batch)} came for the batch of loss_fn{signature}. {STEP}"
        raise unbound("train_step: loss_fn", signature, (params, *batch), {}, came) from None


def _fits(tx: Any, params: Any, state: Any) -> bool:
    """Whether a state is one of these parameters, as far as its structure tells."""
    with contextlib.suppress(Exception):  # what the transformation raises at what are no parameters
        found: Any = jax.tree.structure(jax.eval_shape(tx.init, params))
        return bool(found == jax.tree.structure(state))
    return False
