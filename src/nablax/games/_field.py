"""Games as vector fields.

Players i = 1..n hold points z_i and pay losses l_i(z_1, ..., z_n). The field of the game stacks every player's own
gradient,

    F(z) = (dl_1/dz_1, ..., dl_n/dz_n),

so every player descends along F. In a zero-sum game f(x, y), minimised by x and maximised by y, the losses are f and
-f and F = (df/dx, -df/dy): one backward pass gives all of it. A point where F(z) = 0, or with constraint sets
z = P(z - F(z)), is stationary for every player.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from nablax import tree
from nablax.core import ArgumentError, StructureError

_DATA = ("batch", "key")


class Objective:
    """A function of players, called with what its signature names.

    Either its arguments are players, as in f(x, y); or its first argument is the mapping of all players. Arguments
    named `batch` and `key` receive the batch and the random key.
    """

    def __init__(self, fn: Callable[..., Any], players: Iterable[str], who: str, scalar: bool = True):
        if not callable(fn):
            raise ArgumentError(
                f"{who}: an objective must be a function, got {type(fn).__name__}: {fn!r}."[:300]
            )
        self.fn = fn
        self.who = who
        self.scalar = scalar
        self.name = getattr(fn, "__name__", type(fn).__name__)
        named, catches_all = _named_arguments(fn)
        self.wants = [n for n in _DATA if n in named or catches_all]
        self.by_name = any(p in named for p in players)
        self.reads = [n for n in named if n not in _DATA] if self.by_name else None
        self.unnamed = [n for n in self.reads or () if _kind(fn, n) is inspect.Parameter.POSITIONAL_ONLY]
        needed = [n for n in named if n not in _DATA]
        if not self.by_name and len(needed) > 1:
            raise ArgumentError(
                f"{who}: the objective {self.name} takes {', '.join(needed)}, none of which is a player. Its arguments "
                f"are the players ({', '.join(players)}) by name, or one joint point z."
            )

    def __call__(self, z: Mapping[str, Any], batch: Any, key: Any) -> Any:
        data = {"batch": batch, "key": key}
        extra = {n: data[n] for n in self.wants}
        if self.reads is None:
            return self._scalar(self.fn(z, **extra))
        own = {n: z[n] for n in self.reads}
        return self._scalar(self.fn(*[own.pop(n) for n in self.unnamed], **own, **extra))

    def _scalar(self, value: Any) -> Any:
        """The value, which must be one number."""
        shape = getattr(value, "shape", ())
        if shape and self.scalar:
            raise StructureError(
                f"{self.who}: the objective {self.name} must return a scalar, got an array of shape {shape}."
            )
        return value


def _kind(fn: Callable[..., Any], name: str) -> Any:
    return inspect.signature(fn).parameters[name].kind


def _named_arguments(fn: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names of the arguments without a default, and of batch and key; whether `**kwargs` takes any other."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return [], False
    named = [
        p.name
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (p.default is p.empty or p.name in _DATA)
    ]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """What `field`, `operator` and `lagrangian` make: a function of the joint point, with the sets it lives in.

    Attributes:
      players: names, in order; empty for an `operator`, whose points are any tree.
      projections: for some players (or, of an operator, under ""), the projection onto the player's set.
      batch, key: what the field is bound to; see `bind`.
    """

    players: tuple[str, ...] = ()
    projections: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    batch: Any = None
    key: Any = None

    def __call__(self, z: Any, batch: Any = None, key: Any = None) -> Any:
        """Every player's own gradient at the joint point z; the structure of z."""
        raise NotImplementedError

    def bind(self, batch: Any, key: Any) -> Field:
        """The field at one batch and random key."""
        return dataclasses.replace(self, batch=batch, key=key)

    def own(self, player: str, z: Any) -> Any:
        """One player's own gradient."""
        return self(z)[player]

    def gradient(self, player: str, z: Any) -> Any:
        """The gradient of one player's loss with respect to all players."""
        raise ArgumentError(
            "this field is an operator: it knows no player's loss. Make it with games.field(...)."
        )

    def losses(self, z: Any, batch: Any = None, key: Any = None) -> dict[str, Any]:
        """Every player's loss, by name."""
        raise ArgumentError(
            "this field is an operator: it knows no player's loss. Make it with games.field(...)."
        )

    def project(self, z: Any) -> Any:
        """z with every constrained player projected onto its set, in the dtypes of z."""
        if not self.projections:
            return z
        if not self.players:
            return tree.cast_like(self.projections[""](z), z)
        return {p: self.project_one(p, z[p]) for p in z}

    def project_one(self, player: str, point: Any) -> Any:
        """One player's point, projected onto its set where it has one."""
        fn = self.projections.get(player)
        return point if fn is None else tree.cast_like(fn(point), point)

    def residual(self, z: Any, value: Any = None) -> jax.Array:
        """How far z is from stationary: |F(z)|, or |z - P(z - F(z))| where there are constraints.

        Args:
          z: joint point.
          value: F(z), where it is known already.
        """
        value = self(z) if value is None else value
        if not self.projections:
            return tree.norm(value)
        return tree.norm(tree.sub(z, self.project(tree.sub(z, value))))

    def _check(self, z: Any) -> None:
        if not isinstance(z, Mapping):
            raise StructureError(
                f"games.field: the joint point is a dict with one entry a player ({', '.join(self.players)}), "
                f"got {type(z).__name__}."
            )
        for p in z:
            if p not in self.players:
                raise StructureError(
                    f"games.field: player {p!r} is named in no objective; the players are {', '.join(self.players)}."
                )
        for p in self.players:
            if p not in z:
                raise StructureError(
                    f"games.field: the joint point lacks player {p!r}; it has {', '.join(z)}."
                )

    def _data(self, batch: Any, key: Any) -> tuple[Any, Any]:
        return self.batch if batch is None else batch, self.key if key is None else key


@dataclasses.dataclass(frozen=True, eq=False)
class ZeroSum(Field):
    """min over some players, max over the others, of one function."""

    objective: Callable[..., Any] = None  # type: ignore[assignment]
    maximize: tuple[str, ...] = ()

    def __call__(self, z: Any, batch: Any = None, key: Any = None) -> Any:
        self._check(z)
        g = jax.grad(self.objective)(dict(z), *self._data(batch, key))
        return {p: tree.scale(-1, g[p]) if p in self.maximize else g[p] for p in z}

    def own(self, player: str, z: Any) -> Any:
        g = _own_gradient(self.objective, player, z, *self._data(None, None))
        return tree.scale(-1, g) if player in self.maximize else g

    def gradient(self, player: str, z: Any) -> Any:
        g = jax.grad(self.objective)(dict(z), *self._data(None, None))
        return tree.scale(-1, g) if player in self.maximize else g

    def losses(self, z: Any, batch: Any = None, key: Any = None) -> dict[str, Any]:
        self._check(z)
        value = self.objective(z, *self._data(batch, key))
        return {p: -value if p in self.maximize else value for p in self.players}


@dataclasses.dataclass(frozen=True, eq=False)
class GeneralSum(Field):
    """Every player minimises its own function."""

    objectives: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)

    def __call__(self, z: Any, batch: Any = None, key: Any = None) -> Any:
        self._check(z)
        return {p: _own_gradient(self.objectives[p], p, z, *self._data(batch, key)) for p in z}

    def own(self, player: str, z: Any) -> Any:
        return _own_gradient(self.objectives[player], player, z, *self._data(None, None))

    def gradient(self, player: str, z: Any) -> Any:
        return jax.grad(self.objectives[player])(dict(z), *self._data(None, None))

    def losses(self, z: Any, batch: Any = None, key: Any = None) -> dict[str, Any]:
        self._check(z)
        return {p: self.objectives[p](z, *self._data(batch, key)) for p in self.players}


@dataclasses.dataclass(frozen=True, eq=False)
class Operator(Field):
    """A vector field given as such."""

    fn: Callable[..., Any] = None  # type: ignore[assignment]
    wants: tuple[str, ...] = ()

    def __call__(self, z: Any, batch: Any = None, key: Any = None) -> Any:
        batch, key = self._data(batch, key)
        data = {"batch": batch, "key": key}
        value = self.fn(z, **{n: data[n] for n in self.wants})
        wanted, got = structures(z, value)
        if wanted != got:
            raise StructureError(
                f"games.operator: the field must have the structure of the point, {wanted}, got {got}."
            )
        return value


def _own_gradient(objective: Any, player: str, z: Mapping[str, Any], batch: Any, key: Any) -> Any:
    return jax.grad(lambda own: objective({**z, player: own}, batch, key))(z[player])


def field(
    objectives: Callable[..., Any] | Mapping[str, Callable[..., Any]],
    *,
    minimize: str | Iterable[str] | None = None,
    maximize: str | Iterable[str] | None = None,
    projections: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Field:
    """The field of a game: every player's own gradient, as a function of the joint point.

    The joint point is a dict with one entry a player, each any tree of arrays. `field(f, minimize="x", maximize="y")`
    is the zero-sum game min_x max_y f and costs one backward pass; `field({"x": f1, "y": f2})` is the game in which x
    minimises f1 and y minimises f2.

    Args:
      objectives: a function of the players, by name (`f(x, y)`) or of the joint point (`f(z)`), that returns a scalar;
        it may also name `batch` and `key`. For general sums, a dict from players to such functions.
      minimize, maximize: players of a zero-sum game; one name, or several.
      projections: for some players, a function onto their sets, as those of `nablax.projections`.

    Returns:
      A `Field`: `F(z, batch=None, key=None)`, with `losses`, `project` and `residual`.

    Raises:
      ArgumentError: a player is named in no objective, an objective names an unknown player, a projection belongs to
        an unknown player, or the players of a zero-sum game are missing.
      StructureError: (when called) the point's players are not the game's.

    Example:
      >>> import jax.numpy as jnp
      >>> F = field(lambda x, y: x @ y, minimize="x", maximize="y")
      >>> F({"x": jnp.array([1.0, 2.0]), "y": jnp.array([3.0, 4.0])})
      {'x': Array([3., 4.], dtype=float32), 'y': Array([-1., -2.], dtype=float32)}
    """
    if isinstance(objectives, Mapping):
        if minimize is not None or maximize is not None:
            raise ArgumentError(
                "games.field: minimize and maximize belong to one function; a dict names its players."
            )
        if not objectives:
            raise ArgumentError("games.field: a game needs at least one player, got an empty dict.")
        players = tuple(objectives)
        wrapped = {p: Objective(f, players, f"games.field, player {p!r}") for p, f in objectives.items()}
        _check_names(players, wrapped.values())
        return GeneralSum(players, _checked_projections(projections, players), objectives=wrapped)
    lower, upper = _names(minimize, "minimize"), _names(maximize, "maximize")
    players = lower + upper
    if len(set(players)) < len(players):
        raise ArgumentError(
            f"games.field: a player plays on one side, got minimize={lower}, maximize={upper}."
        )
    objective = Objective(objectives, players, "games.field")
    _check_names(players, [objective])
    return ZeroSum(players, _checked_projections(projections, players), objective=objective, maximize=upper)


def operator(fun: Callable[..., Any], *, projection: Callable[[Any], Any] | None = None) -> Field:
    """A vector field that is given as such: a variational inequality instead of losses.

    Args:
      fun: function of a point (any tree) that returns a tree of the same structure; it may name `batch` and `key`.
      projection: onto the set of points.

    Returns:
      A `Field` without players: methods that need losses or players (alternating steps, LOLA, competitive gradient
      descent) refuse it.

    Example:
      >>> import jax.numpy as jnp
      >>> operator(lambda z: jnp.array([z[1], -z[0]]))(jnp.array([2.0, 3.0]))
      Array([ 3., -2.], dtype=float32)
    """
    if not callable(fun):
        raise ArgumentError(
            f"games.operator: fun must be a function, got {type(fun).__name__}: {fun!r}."[:300]
        )
    named, catches_all = _named_arguments(fun)
    wants = tuple(n for n in _DATA if n in named[1:] or catches_all)
    return Operator((), {} if projection is None else {"": projection}, fn=fun, wants=wants)


def structures(*trees: Any) -> list[Any]:
    """The structure of each tree."""
    return [jax.tree.structure(t) for t in trees]


def as_field(who: str, f: Any) -> Field:
    """`f` itself where it is a `Field`; `operator(f)` for any other function."""
    if not (isinstance(f, Field) or callable(f)):
        raise ArgumentError(
            f"{who}: field must be a field or a function of the point, got {type(f).__name__}: {f!r}."[:300]
        )
    return f if isinstance(f, Field) else operator(f)


def _names(value: Any, which: str) -> tuple[str, ...]:
    if value is None:
        raise ArgumentError(
            f"games.field: {which} must name a player. Call field(f, minimize='x', maximize='y')."
        )
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not names or not all(isinstance(n, str) for n in names):
        raise ArgumentError(f"games.field: {which} must be the name of a player, or several, got {value!r}.")
    return names


def _check_names(players: tuple[str, ...], objectives: Iterable[Objective]) -> None:
    objectives = list(objectives)
    for o in objectives:
        for n in o.reads or ():
            if n not in players:
                raise ArgumentError(
                    f"{o.who}: the objective {o.name} reads {n!r}, which is no player; the players are "
                    f"{', '.join(players)}."
                )
    if all(o.reads is not None for o in objectives):
        named = {n for o in objectives for n in o.reads or ()}
        for p in players:
            if p not in named:
                raise ArgumentError(
                    f"games.field: player {p!r} is named in no objective; the objectives read "
                    f"{', '.join(sorted(named))}."
                )


def _checked_projections(projections: Any, players: tuple[str, ...]) -> dict[str, Callable[[Any], Any]]:
    projections = dict(projections or {})
    for p, fn in projections.items():
        if p not in players:
            raise ArgumentError(
                f"games.field: projections names the unknown player {p!r}; the players are {', '.join(players)}."
            )
        if not callable(fn):
            raise ArgumentError(f"games.field: the projection of {p!r} must be a function, got {fn!r}."[:300])
    return projections
