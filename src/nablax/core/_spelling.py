"""Calls that a function cannot take, answered with the call that is meant.

Python says "adam() got an unexpected keyword argument 'lr'". Who writes `lr` comes from elsewhere, and wants to know
what it is called here.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from nablax.core._errors import ArgumentError

Function = TypeVar("Function", bound=Callable[..., Any])

_ELSEWHERE: Mapping[str, str] = {
    "learning_rate": "lr rate step_size stepsize eta schedule lr_schedule scheduler lr_scheduler",
    "b1": "beta beta1 beta_1 betas momentum",
    "b2": "beta2 beta_2 betas",
    "b3": "beta3 beta_3 betas",
    "eps": "epsilon",
    "epsilon": "eps",
    "decay": "alpha rho beta smoothing_constant",
    "momentum": "beta mu b1",
    "weight_decay": "wd l2 l2_penalty weight_decay_rate",
    "mask": "weight_decay_mask",
    "key": "seed rng rng_key generator",
    "seed": "key rng rng_key generator",
    "tx": "optimizer optim opt transformation",
    "loss_fn": "loss fun criterion",
    "params": "parameters model",
    "grads": "gradients grad",
}
"""By name here, what others call it."""

_NO_ARGUMENT: Mapping[str, str] = {
    "params parameters": "Parameters go to nablax.Optimizer(tx, params), or to init and update.",
    "maximize": "A negative learning_rate ascends.",
    "amsgrad": "nablax.amsgrad is an optimizer of its own.",
    "weight_decay wd l2": "adamw has one, and add_decayed_weights is one for any chain.",
    "foreach fused capturable differentiable": "It is not needed: a step is compiled as a whole.",
    "clipnorm clip_norm global_clipnorm max_grad_norm clip_grad_norm": (
        "Clipping is a link of its own: chain(clip_by_global_norm(1.0), ...)."
    ),
    "lr learning_rate": "A rate belongs to an optimizer, such as nablax.adam(1e-3), or to scale_by_learning_rate.",
}
"""What others have as arguments, and what it is here."""


def unbound(
    who: str, signature: inspect.Signature, args: Any, kwargs: Mapping[str, Any], right: str = ""
) -> ArgumentError:
    """The error of a call that a function does not take: what its arguments are called.

    Args:
      who: the function.
      signature: its signature.
      args, kwargs: what came.
      right: a sentence that shows the right call.
    """
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    )
    parameters = signature.parameters.values()
    names = [p.name for p in parameters if p.kind not in kinds]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    strange = [] if open_ended else [name for name in kwargs if name not in names]
    said = [f"no argument is called {name!r}{_meant(name, names)}" for name in strange]
    if not strange:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            said = [f"{error}."]
    if not right:
        right = f"It takes {', '.join(names) if names else 'none by name'}."
    first, *more = said or ["it does not take what came."]
    return ArgumentError(" ".join([f"{who}: {first}", *(f"N{each[1:]}" for each in more), right]))


def _meant(name: str, names: list[str]) -> str:
    """How a sentence about a name that there is not goes on."""
    called = _called(name, names)
    instead = next((said for theirs, said in _NO_ARGUMENT.items() if name in theirs.split()), "")
    if not called and not instead:
        called = _near(name, names)
    return f"; did you mean {' and '.join(called)}?" if called else f". {instead}".rstrip(" ")


def meant(name: str, names: list[str]) -> str:
    """` (learning_rate is meant?)` of a name that is none of these; nothing where none is near."""
    called = _called(name, names) or _near(name, names)
    return f" ({' and '.join(called)} {'is' if len(called) == 1 else 'are'} meant?)" if called else ""


def _called(name: str, names: list[str]) -> list[str]:
    called = [ours for ours, theirs in _ELSEWHERE.items() if name in theirs.split() and ours in names]
    return called if name == "betas" else called[:1]


def _near(name: str, names: list[str]) -> list[str]:
    plain = {each.lower().replace("_", ""): each for each in names}
    return [plain[n] for n in difflib.get_close_matches(name.lower().replace("_", ""), plain, 1)]


def are_parameters(value: Any) -> bool:
    """Whether a value looks like what a model's `parameters()` gives."""
    return isinstance(value, Iterator | list)


def calls_explained(who: str, right: str = "") -> Callable[[Function], Function]:
    """A function or method that answers a call which it cannot take with the one that is meant; see `unbound`."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                trace = error.__traceback__
                if trace is None or trace.tb_next is not None:
                    raise  # from within
                signature = inspect.signature(function)
            raise unbound(who, signature, args, kwargs, right)

        return cast(Function, call)

    return decorate
