"""Every public function called with arguments that nobody can mean: what does not answer in nablax's words.

`python -m tests.wrong_arguments` prints what leaks. The functions are found from the package, so that a new one is
asked, too; what a face has of another wing is asked once. In `autograd` almost everything is an array, so numbers and
arrays are not asked there; but its functions are asked a second time, with a tensor before what is wrong.
"""

import contextlib
import importlib
import inspect
import io
import os
import tempfile
import traceback
import warnings
from pathlib import Path

import jax.numpy as jnp

import nablax
from nablax.autograd import AutogradError

WINGS = (
    "", "assignment", "distributed", "games", "games.methods", "linesearch", "losses", "perturbations",
    "projections", "runtime", "schedules", "second_order", "transforms", "optimizers", "tree", "core", "optax",
    "optax.contrib", "optax.experimental.aggregating", "optax.losses", "optax.projections", "optax.schedules",
    "optax.transforms", "optax.tree", "optax.tree_utils", "autograd", "autograd.cuda", "autograd.nn",
    "autograd.nn.functional", "autograd.nn.init", "autograd.nn.utils",
)  # fmt: skip

KINDS = {
    "None": lambda: None,
    "a word": lambda: "cpu",
    "a negative number": lambda: -1.5,
    "NaN": lambda: float("nan"),
    "an empty list": list,
    "a dict of a word": lambda: {"w": "w"},
    "an object": object,
    "a function": lambda: len,
    "a class": lambda: nablax.Optimizer,
    "an array": lambda: jnp.ones(3),
    "a transformation": lambda: nablax.adam(0.1),
}

MEANT_IN_AUTOGRAD = ("a negative number", "NaN", "an empty list", "an array")

SOURCES = str(Path(nablax.__file__).parent)


def functions():
    """Names and public functions and classes, each once."""
    seen = set()
    for wing in WINGS:
        module = importlib.import_module(f"nablax.{wing}".rstrip("."))
        for name, value in sorted(vars(module).items()):
            ours = getattr(value, "__module__", "").startswith("nablax.")
            if name.startswith("_") or not callable(value) or not ours or id(value) in seen:
                continue
            if isinstance(value, type) and (
                issubclass(value, BaseException | tuple) or "__init__" not in vars(value)
            ):
                continue  # states, results, errors: made by nablax
            seen.add(id(value))
            yield f"{wing}.{name}".lstrip("."), value


def required(function):
    """How many arguments a call needs, and which of them by name."""
    parameters = inspect.signature(function).parameters.values()
    needed = [
        p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    stars = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    by_name = [p.name for p in needed if p.kind is p.KEYWORD_ONLY]
    return max(len(needed) - len(by_name), int(stars)), by_name


def second(function):
    """How many arguments follow the first one in a call that says something of the second; 0 where there is none."""
    parameters = inspect.signature(function).parameters.values()
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return max(1, sum(p.default is p.empty for p in by_place) - 1) if len(by_place) > 1 else 0


def in_our_words(error):
    """Whether nablax raised the error on purpose."""
    if isinstance(error, nablax.NablaxError | AutogradError):
        return True
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return frame.filename.startswith(SOURCES) and (frame.line or "").lstrip().startswith(
        ("raise ", '"', 'f"')
    )


def leaks(name, function, kinds=tuple(KINDS), after_a_tensor=("a word", "an object")):
    """The kinds that are answered in Python's or JAX's words, with these."""
    left_out = EXCEPTIONS.get(name, ((), ""))[0]
    positional, by_name = required(function)
    autograd = name.startswith("autograd.")
    for kind in kinds:
        if kind in left_out or (autograd and kind in MEANT_IN_AUTOGRAD):
            continue
        args = [KINDS[kind]() for _ in range(positional)]
        error = raised(function, args, {n: KINDS[kind]() for n in by_name})
        if error is not None and not in_our_words(error):
            yield kind, error
    after = second(function) if autograd and not isinstance(function, type) else 0
    for kind in after_a_tensor if after else ():
        args = [nablax.autograd.tensor([[1.0, 2.0]]), *(KINDS[kind]() for _ in range(after))]
        error = None if kind in left_out else raised(function, args, {})
        if error is not None and not in_our_words(error):
            yield f"a tensor and {kind}", error


def raised(function, args, kwargs):
    """What a call raises; None where it raises nothing."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            found = function(*args, **kwargs)
            if isinstance(found, nablax.autograd.Tensor):
                found.detach().numpy()  # some things show when they are computed
    except Exception as error:
        return error
    return None


def main():
    os.chdir(tempfile.mkdtemp())
    count = 0
    for name, function in functions():
        for kind, error in leaks(name, function):
            count += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:110]
            print(
                f"{name}({kind}): {type(error).__name__}: {text}  [{Path(frame.filename).name}:{frame.lineno}]"
            )
    print(count, "leaks")


ALL = tuple(KINDS)
EXCEPTIONS = {
    "distributed.initialize": (ALL, "it waits for the other processes"),
    "distributed.launch": (("an empty list",), "it becomes the supervisor, which says how it is called"),
    "core.TransformInitFn": (ALL, "a protocol"),
    "core.TransformUpdateFn": (ALL, "a protocol"),
    "core.TransformUpdateExtraArgsFn": (ALL, "a protocol"),
    **{
        f"core.{name}": (ALL, "machinery, called by nablax alone, with what it made")
        for name in (
            "Chain",
            "Program",
            "Rule",
            "automatic",
            "check_elementwise",
            "dealt",
            "of_whole",
            "Entry",
            "arrays_of",
            "at",
            "entries_of",
            "join",
            "leaf_roles",
            "map_fields",
            "map_leaves",
            "real_dtype",
            "unbound",
            "project_simplex",
            "unique",
            "with_children",
            "moving",
        )
    },
    "StatefulSchedule": (ALL, "a protocol, which nobody calls"),
    "transforms.ConditionFn": (ALL, "a protocol"),
    "transforms.ShouldSkipUpdateFunction": (ALL, "a protocol"),
    "runtime.Hyperparams": (ALL, "Optimizer makes it"),
    "autograd.load": (("a word",), "there is no such file, which Python says best"),
    "autograd.vjp": (("a function",), "what the user's function raises is its own"),
    "autograd.checkpoint": (("a function",), "the same"),
    "load": (("a word",), "there is no such file, which Python says best"),
    "leafwise": (ALL, "for those who write transformations, as is `core`"),
    "with_hyperparams": (ALL, "the same"),
    "tree.at_least_float32": (ALL, "the same"),
    "tree.key_of_part": (ALL, "the same"),
    "tree.path_str": (ALL, "the same"),
    "tree.reduce_scalars": (ALL, "the same"),
    "tree.refusal": (ALL, "the same"),
    "tree.split_over": (ALL, "the same"),
    "tree.map_params": (("a function", "a class"), "what the user's function raises is its own"),
    "perturbations.mezo_slopes": (("a function", "a class"), "the same"),
}
"""By function, the kinds that are not asked, and why."""

TAKE_ANYTHING = {
    "FlatParams": "a pytree's node, which JAX rebuilds around whatever it likes",
    "games.Solution": "the same",
    "games.methods.Method": "the same",
    "linesearch.Minimum": "the same",
    "runtime.Quantized": "the same",
    "games.BregmanMap": "a plain record",
    "tree.NamedTupleKey": "a plain record",
    "tree.across": "a context, whose argument may be any axis",
    "tree.is_none": "it tells",
    "tree.is_params_placeholder": "it tells",
    "hyperparams": "of a transformation that is not ours, there are none",
    "loss_scale_of": "of a state without one, None",
    "tree.get": "a value in a tree by name: any tree has leaves",
    "tree.get_all_with_path": "the same",
    "tree.set": "the same",
    "tree.size": "a leaf that is no array counts as it does in Optax",
    "tree.cast_like": "leaves that are no arrays pass",
    "tree.unwrap_random_key_data": "leaves that are no keys pass",
}
"""Public functions that an object of no kind does not stop, and why."""

if __name__ == "__main__":
    main()
