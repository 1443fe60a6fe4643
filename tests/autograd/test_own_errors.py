"""What the user's own code raises inside a call of ours comes out as it was raised."""

import pytest

from nablax import autograd
from nablax.autograd import Function, nn


class Mine(ValueError):
    pass


def fails(*args, **kwargs):
    raise Mine("mine")


class Failing(Function):
    @staticmethod
    def forward(ctx, x):
        raise Mine("mine")


class Path:
    def __fspath__(self):
        raise Mine("mine")


class Layer(nn.Module):
    __deepcopy__ = fails


CALLS = {
    "a generator of modules": lambda: nn.ModuleList(fails() for _ in range(2)),
    "a generator of tensors": lambda: nn.utils.clip_grad_norm_((fails() for _ in range(2)), 1.0),
    "forward of a Function": lambda: Failing.apply(autograd.ones(2)),
    "a path": lambda: autograd.save({"x": autograd.ones(2)}, Path()),
    "a copy": lambda: nn.TransformerEncoder(Layer(), 2),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_comes_out_as_it_is(call):
    with pytest.raises(Mine) as raised:
        CALLS[call]()
    assert str(raised.value) == "mine"
    assert raised.traceback[-1].name in ("fails", "forward", "__fspath__")


def test_an_error_of_a_module_that_a_generator_makes_is_said_of_the_module():
    with pytest.raises(autograd.AutogradError, match=r"^Linear: .*out_features"):
        nn.ModuleList(nn.Linear(2) for _ in range(2))


def test_a_module_and_a_generator_are_not_blamed_for_what_stands_beside():
    with pytest.raises(autograd.AutogradError, match="num_layers='2'"):
        nn.TransformerEncoder(nn.Linear(2, 2), "2")
    x = autograd.ones(2, requires_grad=True)
    x.sum().backward()
    with pytest.raises(autograd.AutogradError, match="clip_grad_norm_: .*max_norm='1'"):
        nn.utils.clip_grad_norm_(iter([x]), "1")
