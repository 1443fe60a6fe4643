"""Every row of the table of torch's names, called as torch calls it: values, gradients, dtypes, shapes and errors."""

import inspect

import jax
import numpy as np
import pytest
from nablax.autograd.nn import functional

from autograd.names import CONSTANT, inputs, sections
from nablax import autograd
from nablax.autograd._tensor._torch._table import FUNCTIONS, METHODS, TABLE, UNARY
from nablax.autograd._torch._functional._table import TABLE as FUNCTIONAL

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of what it will change

CALLS, F_CALLS, ERRORS, F_ERRORS = sections().values()
NOT_TORCHS = {"softplus", "conjugate"}  # methods of this library's
RANDOM = {"gumbel_softmax"}  # in test_nn.py


def made(library, seed, dtype):
    found = {}
    for name, value in inputs(seed, dtype).items():
        needs = value.dtype.kind == "f" and name not in CONSTANT
        found[name] = library.tensor(np.array(value), requires_grad=needs)
    return found


def spelled(name):
    """The calls of a name, as expressions."""
    for call in CALLS[name]:
        of, _, more = call.partition("|")
        if not of:
            yield f"t.{name}({more})"
            continue
        if name in METHODS and hasattr(torch.Tensor, name):
            yield f"{of}.{name}({more})"
        if name in FUNCTIONS and hasattr(torch, name):
            yield f"t.{name}({of}, {more})" if more else f"t.{name}({of})"


def leaves(found):
    if isinstance(found, tuple | list):
        return [leaf for each in found for leaf in leaves(each)]
    return [found]


def differentiable(x):
    return getattr(x, "requires_grad", False)


def run(library, expression, seed, dtype, of_functional):
    space = made(library, seed, dtype)
    found = leaves(eval(expression, {"t": library, "F": of_functional, **space}))
    outs = [x for x in found if differentiable(x)]
    total = sum((x * (i + 1.5) * (x.detach() + 0.5)).sum() for i, x in enumerate(outs))
    grads = {}
    if outs:
        total.backward()
        grads = {k: None if x.grad is None else np.asarray(x.grad.detach().numpy()) for k, x in space.items()}
    values = [np.asarray(x.detach().numpy()) if hasattr(x, "detach") else x for x in found]
    return values, grads


def agree(expression, seed, dtype):
    with jax.enable_x64(True):
        ours, our_grads = run(autograd, expression, seed, dtype, functional)
    theirs, their_grads = run(torch, expression, seed, dtype, torch.nn.functional)
    exact = 1e-7 if dtype == np.float64 else 2e-4
    assert len(ours) == len(theirs), expression
    for a, b in zip(ours, theirs, strict=True):
        assert np.shape(a) == np.shape(b), f"{expression}: shape {np.shape(a)}, torch's {np.shape(b)}"
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, f"{expression}: {a.dtype}, torch's {b.dtype}"
        np.testing.assert_allclose(a, b, rtol=exact, atol=exact, err_msg=expression)
    for name, b in their_grads.items():
        a = our_grads.get(name)
        if b is None or not b.any():
            assert a is None or not a.any() or np.allclose(a, 0, atol=exact), (
                f"{expression}: gradient of {name}"
            )
            continue
        assert a is not None, f"{expression}: no gradient of {name}"
        np.testing.assert_allclose(a, b, rtol=exact, atol=exact, err_msg=f"{expression}: gradient of {name}")


def test_every_row_has_calls():
    assert set(TABLE) - NOT_TORCHS == set(CALLS)
    assert set(FUNCTIONAL) - RANDOM == set(F_CALLS)
    assert set(UNARY) <= set(TABLE)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_row(name, dtype):
    if not (hasattr(torch, name) or hasattr(torch.Tensor, name)):
        pytest.skip("not in this version of torch")
    for expression in dict.fromkeys(spelled(name)):
        agree(expression, 0, dtype)


@pytest.mark.parametrize("name", sorted(F_CALLS))
def test_row_of_functional(name):
    for call in F_CALLS[name]:
        agree(f"F.{name}({call})", 1, np.float64)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_what_raises_in_torch_raises_here(name):
    for more in ERRORS[name]:
        for library in (torch, autograd):
            space = made(library, 0, np.float32)
            with pytest.raises(Exception):  # noqa: B017, PT011
                _all(eval(f"z.{name}({more})", space))


def _all(found):
    for x in leaves(found):
        x.tolist()


@pytest.mark.parametrize("name", sorted(F_ERRORS))
def test_what_raises_in_functional_raises_here(name):
    for arguments in F_ERRORS[name]:
        for library, of in ((torch, torch.nn.functional), (autograd, functional)):
            space = made(library, 0, np.float32)
            with pytest.raises(Exception):  # noqa: B017, PT011
                eval(f"F.{name}({arguments})", {"F": of, **space}).tolist()


OTHER_WORDS = {  # those of torch's documentation, or packed arguments
    "view": {"shape"}, "transpose": {"dims"}, "expand": {"sizes"}, "broadcast_to": {"shape"}, "flip": {"args"},
    "split": {"split_size_or_sections"}, "tensor_split": {"indices_or_sections"}, "nonzero": {"as_tuple"},
    "einsum": {"operands"}, "tensordot": {"a", "b", "dims"},
    "unique": set(inspect.signature(TABLE["unique"].fn).parameters),
}  # fmt: skip


def test_arguments_are_named_as_torchs():
    other = {}
    for name, row in TABLE.items():
        schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        theirs = {argument.name for schema in schemas for argument in schema.arguments}
        theirs |= {"input"} if "self" in theirs else set()
        ours = set(inspect.signature(row.fn).parameters)
        if name not in UNARY and not ours <= theirs | OTHER_WORDS.get(name, set()):
            other[name] = ours - theirs
    assert other == {}
