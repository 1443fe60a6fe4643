"""Functions that are called before and after what a module computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._gradient._hooks import Handle


class Hooked:
    """A call of `forward`, and the hooks around it."""

    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if "_hooks_before" not in own and "_hooks_after" not in own:
            return self.forward(*args, **kwargs)
        for hook, named in list(own.get("_hooks_before", {}).values()):
            found = hook(self, args, kwargs) if named else hook(self, args)
            if found is None:
                continue
            if named:
                args, kwargs = found
            else:
                args = found if isinstance(found, tuple) else (found,)
        output = self.forward(*args, **kwargs)
        for hook, named in list(own.get("_hooks_after", {}).values()):
            found = hook(self, args, kwargs, output) if named else hook(self, args, output)
            output = output if found is None else found
        return output

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call hook(module, args) before each forward; what it returns, unless None, takes the place of args.

        Args:
          hook: the function.
          prepend: before those that are there.
          with_kwargs: call hook(module, args, kwargs), which returns None or both.
        """
        return self._hook("_hooks_before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call hook(module, args, output) after each forward; what it returns, unless None, takes output's place.

        Args:
          hook: the function.
          prepend: before those that are there.
          with_kwargs: call hook(module, args, kwargs, output).
        """
        return self._hook("_hooks_after", hook, prepend, with_kwargs)

    def _hook(self, where: str, hook: Any, prepend: bool, named: bool) -> Handle:
        if not callable(hook):
            raise TypeError(f"{type(self).__name__}: hook must be a function, got {type(hook).__name__}.")
        hooks = self.__dict__.setdefault(where, {})
        before, handle = list(hooks), Handle(hooks)
        hooks[handle] = hook, named
        if prepend:
            for other in before:
                hooks[other] = hooks.pop(other)
        return handle
