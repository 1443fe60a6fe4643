"""nn.Module: parameters by name, train and eval, state_dict.

A module is a Python object whose attributes are its parameters (Parameter), buffers (register_buffer) and
modules, in the order in which they were set. Nothing else is kept about it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .._tensor._grad_mode import no_grad
from .._tensor._tensor import Parameter, Tensor
from .._tensor._torch._methods import gpu
from ._hooked import Hooked
from ._moving import move


class Module(Hooked):
    """A part of a network.

    >>> from nablax import autograd
    >>> from nablax.autograd import nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.w = nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.w * x
    >>> line = Line()
    >>> line(autograd.tensor([3.0])).tolist(), [name for name, _ in line.named_parameters()]
    ([6.0], ['w'])
    """

    training: bool = True

    def __init__(self) -> None:
        self._buffers: dict[str, Any] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; a subclass says it."""
        raise NotImplementedError(f"{type(self).__name__}: a module needs a method forward.")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter | Module) and "_buffers" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before setting parameters or modules."
            )
        if name in self.__dict__.get("_buffers", ()):
            self._buffers[name] = value
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """A tensor that belongs to the module and is no parameter; in state_dict if persistent."""
        object.__setattr__(self, name, tensor)
        if persistent:
            self._buffers[name] = tensor

    def register_parameter(self, name: str, param: Any) -> None:
        """A parameter, or None."""
        setattr(self, name, param)

    add_module = register_module = register_parameter

    # -- what is inside -----------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes, and their names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The modules that are attributes."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", memo: set[int] | None = None) -> Iterator[tuple[str, Module]]:
        """This module and all inside, each once, with dotted names."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, memo)

    def modules(self) -> Iterator[Module]:
        """This module and all inside, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Parameters, each once, with dotted names."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else ((prefix, self),):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Buffers with dotted names."""
        for path, module in self.named_modules(prefix):
            for name in module._buffers:
                yield f"{path}.{name}" if path else name, getattr(module, name)

    def buffers(self) -> Iterator[Any]:
        """Buffers."""
        return (buffer for _, buffer in self.named_buffers())

    # -- what one does with it ----------------------------------------------------------------------------------------

    def state_dict(self) -> OrderedDict[str, Any]:
        """Parameters and buffers by dotted name, without gradient; writing to them writes to the module's."""
        found: OrderedDict[str, Any] = OrderedDict()
        for path, module in _everywhere(self):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) or (name in module._buffers and value is not None):
                    found[f"{path}.{name}" if path else name] = value.detach()
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """New values for parameters and buffers, in place.

        Raises:
          KeyError: with `strict`, names that are missing or not known.
          ValueError: a value of another shape.
        """
        own = self.state_dict()
        missing, unknown = [k for k in own if k not in state_dict], [k for k in state_dict if k not in own]
        if strict and (missing or unknown):
            raise KeyError(f"load_state_dict: missing {missing}, not known {unknown}.")
        wrong = [
            f"{k}: {tuple(own[k].shape)}, got {tuple(v.shape)}"
            for k, v in state_dict.items()
            if k in own and tuple(own[k].shape) != tuple(v.shape)
        ]
        if wrong:
            raise ValueError(f"load_state_dict: shapes must be {'; '.join(wrong)}.")
        with no_grad():
            for name, tensor in own.items():
                if name in state_dict:
                    tensor.copy_(_detached(state_dict[name]))

    def train(self, mode: bool = True) -> Module:
        """Dropout drops and batch norm learns; returns the module."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Module:
        """Dropout and batch norm are what was learned; returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Whether parameters require grad; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call fn(module) for every module inside, then for this one; returns it."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Parameters and buffers as a dtype or on a device, integers without the dtype; returns the module."""
        return move(self, args, kwargs)

    def cpu(self) -> Module:
        """On the first CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Module:
        """On a GPU."""
        return self.to(gpu(device))

    def double(self) -> Module:
        """In float64, which takes x64."""
        return self.to("float64")

    def float(self) -> Module:
        """In float32."""
        return self.to("float32")

    def half(self) -> Module:
        """In float16."""
        return self.to("float16")

    def bfloat16(self) -> Module:
        """In bfloat16."""
        return self.to("bfloat16")

    def extra_repr(self) -> str:
        """What __repr__ says in brackets."""
        return ""

    def __repr__(self) -> str:
        inner = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not inner:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(inner) + "\n)"


def _everywhere(module: Module, path: str = "") -> Iterator[tuple[str, Module]]:
    """As named_modules, but a module that is there twice has both names, as in torch's state_dict."""
    yield path, module
    for name, child in module.named_children():
        yield from _everywhere(child, f"{path}.{name}" if path else name)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
