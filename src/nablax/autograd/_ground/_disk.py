"""Compiled programs on disk, for the next process: those of this wing, in a folder of the user's.

JAX's persistent compilation cache is one for a whole process; turned on by a library it would keep the programs of all
others, and a folder that the user names later would be ignored. So what this wing compiles is kept by itself, by
jax.experimental.serialize_executable, and where the user has given JAX a folder that one is used instead.

An entry is found by a digest of the lowered program and of all that compiling depends on. It is compressed, and what is
broken does not pass the checksum of that.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import sys
import time
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from ._quiet import quietly
from ._stats import stats
from ._store import Store, usual

VARIABLE = "NABLAX_DISK_CACHE"
_OFF = ("", "0", "off", "none", "false", "no")
_FORMAT = "1"  # of an entry
_WORTH = 0.03  # seconds of compiling below which loading takes as long
MAX_BYTES = 256 << 20


class disk_cache:
    """Set where compiled programs are kept for the next process; as a context, only inside it.

    From the start they are, under nablax/autograd in the user's folder for caches (XDG_CACHE_HOME or ~/.cache; on macOS
    ~/Library/Caches, on Windows LOCALAPPDATA). The environment variable NABLAX_DISK_CACHE names another folder, or
    turns it off: `NABLAX_DISK_CACHE=off`. Where JAX has a cache of its own (`jax_compilation_cache_dir`) that one is
    used; other programs than those of nablax.autograd are never kept. When a program takes over does not depend on it
    (see `tiers`), only whether it still has to be compiled.

    Like JAX's, the folder is trusted: whoever may write there can run code here. A folder that belongs to another user,
    or that everybody may write to, is not used.

    Args:
      folder: a path; None keeps nothing; "default" is the folder of the start.
      max_bytes: how much it may hold, in bytes, 0 or more; what was not used longest is deleted first.

    Raises:
      ValueError: max_bytes is negative or no int.

    >>> from nablax import autograd
    >>> with autograd.disk_cache(None):
    ...     pass
    """

    def __init__(self, folder: str | os.PathLike | None = "default", max_bytes: int = MAX_BYTES) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0:
            raise ValueError(f"disk_cache: max_bytes must be an int of 0 or more, got {max_bytes!r}.")
        self._before = _settings.store
        where = usual() if folder == "default" else folder
        _settings.store = (
            None if where is None else Store(Path(os.path.abspath(os.path.expanduser(where))), max_bytes)
        )

    def __enter__(self) -> disk_cache:
        return self

    def __exit__(self, *error: object) -> None:
        _settings.store = self._before

    def __repr__(self) -> str:
        store = _settings.store
        return f"disk_cache({None if store is None else str(store.folder)!r})"


def compiled(lowered: Any) -> Any:
    """lowered.compile(), or what another process has made of it; afterwards the jitted function has it, too."""
    store = _store()
    name = None
    if store is not None:
        # Another version of JAX may have other words for what the name is made of.
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            name = _name(lowered)
    if store is None or name is None:
        return lowered.compile()
    data = store.read(name)
    if data is not None:
        try:
            lowered._lowering._executable = _loaded(data, lowered)
            stats.loaded += 1
            return lowered.compile()
        except Exception:  # whatever it was, the program can be compiled
            lowered._lowering._executable = None
            store.drop(name)
    begun = time.perf_counter()
    found = lowered.compile()
    if time.perf_counter() - begun >= _WORTH:
        with contextlib.suppress(Exception):  # some programs cannot be written down
            store.write(name, zlib.compress(pickle.dumps(serialize_executable.serialize(found)), 1))
    return found


def at_first(program: Any) -> Callable[..., Any]:
    """A jitted function, for its first call: compiled by way of the disk."""

    def call(*args: Any) -> Any:
        if _store() is not None and not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args)):
            compiled(quietly(program.lower, *args))
        return quietly(program, *args)

    return call


def jitted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """jax.jit(fn), whose first call goes by way of the disk."""
    program = jax.jit(fn)
    now = at_first(program)

    def call(*args: Any) -> Any:
        nonlocal now
        found = now(*args)
        now = program
        return found

    return call


def _store() -> Store | None:
    """The store, if JAX has none and has not been told to keep nothing."""
    known: Any = jax.config
    if known.jax_compilation_cache_dir is None and known.jax_enable_compilation_cache:
        return _settings.store
    return None


def _loaded(data: bytes, lowered: Any) -> Any:
    devices = list(lowered._lowering._device_list)
    made, arguments, results = pickle.loads(zlib.decompress(data))
    found = serialize_executable.deserialize_and_load(made, arguments, results, devices[0].client, devices)
    return found._executable


def _name(lowered: Any) -> str | None:
    """What a program is found by; None where it is compiled already, or another process could not run it:
    it calls back into this one, or knows its arrays."""
    lowering = lowered._lowering
    if lowering._executable is not None:
        return None
    known = dict(lowering.compile_args)
    alone = ("host_callbacks", "keepalive", "unordered_effects", "ordered_effects", "mut")
    if lowering.const_args or any(known.get(name) for name in alone):
        return None
    devices = [(str(d), d.device_kind) for d in lowering._device_list]
    kept = sorted(known["kept_var_idx"])
    told = (
        _machine(),
        _flags(),
        devices,
        lowering._compiler_options_kvs,
        known["backend"].platform_version,
        kept,
    )
    about = {name: known[name] for name in _ABOUT}
    digest = hashlib.sha256(repr((told, about)).encode())
    digest.update(lowered.as_text().encode())
    return digest.hexdigest()


_ABOUT = (
    "committed",
    "global_in_avals",
    "global_out_avals",
    "in_layouts",
    "in_shardings",
    "num_devices",
    "out_layouts",
    "out_shardings",
    "tuple_args",
)


def _flags() -> list[tuple[str, str]]:
    """JAX's settings and XLA's. One that does not matter makes a miss at worst."""
    names = [
        name
        for name in jax.config.values
        if not name.startswith(("jax_compilation_", "jax_persistent_", "jax_log"))
    ]
    return [(name, repr(getattr(jax.config, name, None))) for name in names] + [
        (name, os.environ.get(name, "")) for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
    ]


@functools.cache
def _machine() -> tuple[str, ...]:
    """The versions and the processor: code for one runs on another only by chance, and a home may be on several."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        processor += "".join(x for x in lines if x.startswith(("model name", "flags", "Features", "CPU")))
    return (_FORMAT, jax.__version__, version("jaxlib"), sys.platform, platform.machine(), processor)


class _Settings:
    store: Store | None = None


_settings = _Settings()
_asked = os.environ.get(VARIABLE, "default")
with contextlib.suppress(OSError):  # a relative path, and the current folder is gone
    disk_cache(None if _asked.lower() in _OFF else _asked)
