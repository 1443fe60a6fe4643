"""Leaves that are split over devices: what `jax.shard_map` hides from a rule, and explicit meshes ask of it.

Within `shard_map` a rule sees one device's part. Elementwise rules do not mind; a rule that looks at a whole array, or
at all of them, would compute something else on each device without a word. Here it is refused: by `tree.across` where
leaves are added up, by the operations of the rule where it works within a leaf.

On a mesh with explicit axes a sharding is part of an array's type, and operations that leave open how to shard their
result are refused. A rule runs as on an automatic mesh, and hands out the types that came in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding

from nablax.core._errors import StructureError
from nablax.tree import SplitError, across, reach_now, refusal, split_over

# Operations of the shape of their operand in which entries see each other.
_MIXING = {
    "sort", "rev", "fft", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "dot_general", "transpose",
    "conv_general_dilated", "gather", "scatter", "scatter-add", "dynamic_slice", "dynamic_update_slice", "roll",
    "qr", "svd", "eigh", "eig", "cholesky", "lu", "triangular_solve", "householder_product", "schur",
}  # fmt: skip


@contextlib.contextmanager
def whole(who: str) -> Iterator[None]:
    """Within it, whoever needs all entries of arrays that are split over devices is refused, in the name of `who`."""
    known = reach_now() is not None
    try:
        with contextlib.nullcontext() if known else across(()):
            yield
    except SplitError as e:
        raise e if known else StructureError(f"{who}: {e}") from None


def _split(tree: Any) -> frozenset[str]:
    """The axes that arrays are split over, where that is to be refused."""
    reach = reach_now()
    if reach is None or reach.alone:
        return frozenset()
    return frozenset().union(*map(split_over, jax.tree.leaves(tree)))


def require_whole(name: str, tree: Any) -> None:
    """Refuses arrays that are split over devices, where a transformation looks at whole ones.

    Raises:
      SplitError: one is.
    """
    split = _split(tree)
    if split:
        raise SplitError(f"{name} works on whole arrays: {refusal(split)}")


def check_elementwise(name: str, fn: Callable[..., Any], row: Any, shared: Any) -> None:
    """Refuses a rule that looks at a whole array where it is given one device's part.

    Args:
      name: who speaks.
      fn: `fn(row, shared)`, what is done with one leaf.
      row: the arrays of the leaf.
      shared: what all leaves have in common.

    Raises:
      SplitError: a leaf's array is split, and the function mixes its entries.
    """
    split = _split(row)
    if not split:
        return
    mine = len(jax.tree.leaves(row))
    try:
        jaxpr = jax.make_jaxpr(fn)(row, shared).jaxpr
        mixes = _mixes(jaxpr, [i < mine for i in range(len(jaxpr.invars))])
    except TypeError:  # of a branch or loop whose results differ in the axes that they are split over
        mixes = True
    if mixes:
        require_whole(name, row)


def _mixes(jaxpr: Any, marked: list[bool]) -> bool:
    """Whether entries of marked arrays, or of what is made of them, see each other."""
    seen = {v for v, m in zip(jaxpr.invars, marked, strict=True) if m and v.aval.shape}

    def hit(x: Any) -> bool:
        return not hasattr(x, "val") and x in seen

    for eqn in jaxpr.eqns:
        hits = [hit(x) for x in eqn.invars]
        if not any(hits):
            continue
        inner = [p for p in jax.tree.leaves(eqn.params, is_leaf=_is_jaxpr) if _is_jaxpr(p)]
        for sub in inner:
            sub = getattr(sub, "jaxpr", sub)
            same = len(sub.invars) == len(hits)
            if _mixes(sub, hits if same else [True] * len(sub.invars)):
                return True
        sizes = {x.aval.size for x, h in zip(eqn.invars, hits, strict=True) if h}
        made = {v.aval.size for v in eqn.outvars if v.aval.shape or not inner}
        if not inner and (eqn.primitive.name in _MIXING or not made <= sizes):
            return True
        seen.update(eqn.outvars)
    return False


def _is_jaxpr(x: Any) -> bool:
    return hasattr(x, "eqns") or hasattr(x, "jaxpr")


def automatic(fn: Callable[..., Any], row: Any, like: Any) -> Callable[..., Any]:
    """The function as it runs on an automatic mesh, where the leaf's mesh has explicit axes.

    Args:
      fn: a function of arrays.
      row: the arrays of the leaf.
      like: arrays whose shardings the results shall have, in the results' structure.
    """
    for x in jax.tree.leaves(row):
        mesh = jax.typeof(x).sharding.mesh
        if AxisType.Explicit in mesh.axis_types:
            break
    else:
        return fn
    out = jax.tree.map(lambda x: NamedSharding(mesh, jax.typeof(x).sharding.spec), like)
    return jax.sharding.auto_axes(fn, out_sharding=out)
