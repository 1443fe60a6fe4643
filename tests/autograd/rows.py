"""What is asked of one row of the tables of torch's names, as a function: `check(row)` raises where the row is not
torch's.

A row's check calls this row and no other (`alone`), and differentiates by functions that are no rows. So a row that is
broken by hand turns its own check red, and only that.
"""

import contextlib
import functools
import inspect
import warnings

import jax
import numpy as np
import pytest
from nablax.autograd.nn import functional

from autograd.names import CONSTANT, inputs, sections
from nablax import autograd
from nablax.autograd._tensor._torch._methods import IN_PLACE
from nablax.autograd._tensor._torch._rows import recorded
from nablax.autograd._tensor._torch._table import FUNCTIONS, METHODS, TABLE, UNARY
from nablax.autograd._torch._functional._table import TABLE as FUNCTIONAL

torch = pytest.importorskip("torch")

SECTIONS = sections()
CALLS, ERRORS = SECTIONS["calls"], SECTIONS["errors"]
F_CALLS, F_ERRORS = SECTIONS["functional"], SECTIONS["functional errors"]

ROWS = (*CALLS, *(f"F.{name}" for name in F_CALLS))  # "mul multiply" is one row of two names

OTHER_WORDS = {  # those of torch's documentation, or packed arguments
    "view": {"shape"}, "transpose": {"dims"}, "expand": {"sizes"}, "broadcast_to": {"shape"}, "flip": {"args"},
    "split": {"split_size_or_sections"}, "tensor_split": {"indices_or_sections"}, "nonzero": {"as_tuple"},
    "einsum": {"operands"}, "tensordot": {"a", "b", "dims"},
    "unique": set(inspect.signature(TABLE["unique"].fn).parameters),
}  # fmt: skip


# -- where a row's names stand -------------------------------------------------------------------------------


def owner(name):
    """The class that a method is found in."""
    return next(c for c in autograd.Tensor.__mro__ if name in vars(c))


def places(row):
    """Objects and attributes at which users find the names of a row."""
    if row.startswith("F."):
        return [(functional, row[2:])]
    methods = [(owner(name), name) for name in row.split() if name in METHODS]
    return methods + [(autograd, name) for name in row.split() if name in FUNCTIONS]


@contextlib.contextmanager
def replaced(row, make):
    """`make(what is there)` stands at all places of a row."""
    kept = [(at, name, getattr(at, name)) for at, name in places(row)]
    for at, name, found in kept:
        setattr(at, name, make(found))
    try:
        yield
    finally:
        for at, name, found in kept:
            setattr(at, name, found)


def broken(row):
    """A context in which a row is implemented wrongly: every number is one more, every truth value its opposite."""
    watched()
    name = row.removeprefix("F.").split()[0]
    right = (FUNCTIONAL if row.startswith("F.") else TABLE)[name]

    @functools.wraps(right.fn)
    def wrong(*args, **kwargs):
        return jax.tree.map(_off, right.fn(*args, **kwargs))

    wrong.__dict__.pop("written", None)  # the rule that stands for the right one
    return replaced(row, lambda _: recorded(name, right._replace(fn=wrong)))


def _off(x):
    if isinstance(x, bool):
        return not x
    return ~x if x.dtype == bool else x + 1


_WATCHED = []


@functools.cache
def watched():
    """The rows that were called since it was cleared: from the first call on, every row notes itself."""
    called = set()

    def noting(row, fn):
        @functools.wraps(fn)
        def call(*args, **kwargs):
            called.add(row)
            return fn(*args, **kwargs)

        return call

    for row in ROWS:
        for at, name in places(row):
            _WATCHED.append((at, name, getattr(at, name)))
            setattr(at, name, noting(row, getattr(at, name)))
    return called


def unwatch():
    """Every row is what it was: one that notes itself stands between an operation and the line of its user."""
    while _WATCHED:
        setattr(*_WATCHED.pop())
    watched.cache_clear()


@contextlib.contextmanager
def alone(row):
    """Nothing but this row is called inside."""
    called = watched()
    called.clear()
    yield
    assert called <= {row}, f"the check of {row} calls {called - {row}}, too"


# -- one call, in both libraries -----------------------------------------------------------------------------


def made(library, dtype):
    found = {}
    for name, value in inputs(0, dtype).items():
        needs = value.dtype.kind == "f" and name not in CONSTANT
        found[name] = library.tensor(np.array(value), requires_grad=needs)
    return found


def leaves(found):
    return [leaf for each in found for leaf in leaves(each)] if isinstance(found, tuple | list) else [found]


def run(library, expression, dtype):
    """Values of an expression, and gradients of all inputs."""
    ours = library is autograd
    space = made(library, dtype)
    of = {"t": library, "F": functional if ours else torch.nn.functional}
    found = leaves(eval(expression, {**of, **space}))
    total = 0
    for i, x in enumerate(found):
        if getattr(x, "requires_grad", False):
            total = total + (autograd.numpy.sum if ours else torch.sum)(x * (i + 1.5) * (x.detach() + 0.5))
    grads = {}
    if getattr(total, "requires_grad", False):
        total.backward()
        grads = {k: None if x.grad is None else np.asarray(x.grad.detach().numpy()) for k, x in space.items()}
    return [np.asarray(x.detach().numpy()) if hasattr(x, "detach") else x for x in found], grads


def agree(expression, dtype, x64=True):
    """Values, gradients, dtypes and shapes are torch's; without x64 all 64 bits are 32."""
    with jax.enable_x64(x64):
        ours, our_grads = run(autograd, expression, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch will change
        theirs, their_grads = run(torch, expression, dtype)
    exact = 1e-7 if dtype == np.float64 else 2e-4
    assert len(ours) == len(theirs), expression
    for a, b in zip(ours, theirs, strict=True):
        assert np.shape(a) == np.shape(b), f"{expression}: shape {np.shape(a)}, torch's {np.shape(b)}"
        if isinstance(b, np.ndarray):
            wanted = b.dtype if x64 else jax.dtypes.canonicalize_dtype(b.dtype)
            assert a.dtype == wanted, f"{expression}: {a.dtype}, torch's {b.dtype}"
        np.testing.assert_allclose(a, b, rtol=exact, atol=exact, err_msg=expression)
    for name, b in their_grads.items():
        a = our_grads.get(name)
        zero = b is None or not b.any()
        assert zero or a is not None, f"{expression}: no gradient of {name}"
        a = np.zeros(()) if a is None else a
        np.testing.assert_allclose(
            a, 0 if zero else b, rtol=exact, atol=exact, err_msg=f"{expression}: gradient of {name}"
        )


def refused(library, expression):
    """What torch refuses is refused."""
    of = functional if library is autograd else torch.nn.functional
    space = {"F": of, **made(library, np.float32)}
    with pytest.raises(Exception):  # noqa: B017, PT011
        [x.tolist() for x in leaves(eval(expression, space))]


# -- one row -------------------------------------------------------------------------------------------------


def spelled(row, call):
    """A call as method and as function; the first one also in place, and by all names of the row."""
    if row.startswith("F."):
        return [f"{row}({call})"]
    of, _, more = call.partition("|")
    found = []
    first = call == CALLS[row][0]
    for name in row.split() if first else row.split()[:1]:
        if of and name in METHODS and hasattr(torch.Tensor, name):
            found.append(f"{of}.{name}({more})")
            if first and f"{name}_" in IN_PLACE and hasattr(torch.Tensor, f"{name}_"):
                found.append(f"{of}.detach().clone().{name}_({more})")
        if name in FUNCTIONS and hasattr(torch, name):
            found.append(f"t.{name}({', '.join(filter(None, (of, more)))})")
    return found


def arguments_are_torchs(name):
    """They are named as torch names them."""
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    theirs = {argument.name for schema in schemas for argument in schema.arguments}
    theirs |= OTHER_WORDS.get(name, set()) | ({"input"} if "self" in theirs else set())
    ours = set(inspect.signature(TABLE[name].fn).parameters)
    assert ours <= theirs, f"{name}: torch has no arguments {ours - theirs}"


def arguments_are_in_torchs_order(name):
    """Where torch's function tells its arguments."""
    try:
        theirs = [p.name for p in inspect.signature(getattr(torch.nn.functional, name)).parameters.values()]
    except ValueError:
        return
    ours = inspect.signature(FUNCTIONAL[name].fn).parameters.values()
    positions = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD]
    if "args" not in theirs:
        assert positions == theirs[: len(positions)]


def check(row):
    """Everything that is asked of a row: in float64, as users have it (without x64), and in float32 with x64."""
    calls = F_CALLS[row[2:]] if row.startswith("F.") else CALLS[row]
    with alone(row):
        for call in calls:
            for expression in spelled(row, call):
                agree(expression, np.float64)
        agree(spelled(row, calls[0])[0], np.float32, x64=False)
        agree(spelled(row, calls[-1])[0], np.float32)
        for library in (torch, autograd):
            for more in F_ERRORS.get(row[2:], ()):
                refused(library, f"{row}({more})")
            for more in ERRORS.get(row.split()[0], ()):
                refused(library, f"z.{row.split()[0]}({more})")
    if row.startswith("F."):
        arguments_are_in_torchs_order(row[2:])
    else:
        for name in row.split():
            if name not in UNARY:
                arguments_are_torchs(name)
