"""Containers: modules that hold others, in order or by name, and lists of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._tensor._tensor import Parameter
from ._module import Module


class Sequential(Module):
    """Modules one after another; also from an OrderedDict of names."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            setattr(self, str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(list(self.children()))

    def __getitem__(self, index: Any) -> Any:
        found = list(self.children())[index]
        return type(self)(*found) if isinstance(index, slice) else found

    def append(self, module: Module) -> Any:
        """One more module at the end; returns the container."""
        setattr(self, str(len(self)), module)
        return self


class ModuleList(Sequential):
    """A list of modules, which their owner calls."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(*modules)

    def __getitem__(self, index: Any) -> Any:
        found = list(self.children())[index]
        return ModuleList(found) if isinstance(index, slice) else found

    def extend(self, modules: Iterable[Module]) -> Any:
        """More modules at the end; returns the list."""
        for module in modules:
            self.append(module)
        return self

    def forward(self, *args: Any) -> Any:
        raise NotImplementedError("ModuleList: a list of modules is not called itself; loop over it.")


class ModuleDict(Module):
    """Modules by name, which their owner calls."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, module in (modules or {}).items():
            setattr(self, name, module)

    def __getitem__(self, name: str) -> Module:
        return dict(self.named_children())[name]

    def __setitem__(self, name: str, module: Module) -> None:
        setattr(self, name, module)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.named_children())

    def __len__(self) -> int:
        return len(list(self.children()))

    def keys(self) -> Iterator[str]:
        """The names."""
        return iter(self)

    def values(self) -> Iterator[Module]:
        """The modules."""
        return self.children()

    def items(self) -> Iterator[tuple[str, Module]]:
        """Names and modules."""
        return self.named_children()


class ParameterList(Module):
    """A list of parameters."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        for i, value in enumerate(values):
            setattr(self, str(i), value if isinstance(value, Parameter) else Parameter(value))

    def __iter__(self) -> Iterator[Any]:
        return self.parameters()

    def __len__(self) -> int:
        return len(list(self.parameters()))

    def __getitem__(self, index: int) -> Any:
        return list(self.parameters())[index]
