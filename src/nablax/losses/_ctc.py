"""Connectionist temporal classification: the likelihood of a label sequence over all its alignments with frames.

An alignment repeats each label for one or more frames and may put blanks between labels; between equal labels it
must. So it walks along z = (blank, y_1, blank, y_2, ..., y_N, blank). With a_j(t) the probability of the frames up to
t and of standing at z_j:

    a_j(t) = p_t(z_j) (a_j(t-1) + a_{j-1}(t-1) + [z_j is a label other than the one before] a_{j-2}(t-1))
    L      = -log(a_{2N}(T) + a_{2N-1}(T)),   a_0(0) = 1

all in logarithms. The same recursion on the reversed frames and labels gives the probability a'_j(t) of the frames
from t on. Then dL/dlog p_t(z_j) = -a_j(t) a'_j(t) / (p_t(z_j) e^{-L}): minus a posterior probability. The two
recursions run side by side in one loop.

Source: Graves et al. 2006, doi:10.1145/1143844.1143891.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import HyperparameterError, StructureError, check_number

from ._operands import check_labels, floating, integers, wide


def ctc_loss(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    *,
    blank_id: int = 0,
    log_epsilon: Any = -1e5,
) -> jax.Array:
    """Negative logarithm of the probability that the frames spell the labels.

    Args:
      logits: floating, shape (batch, frames, classes), classes including the blank.
      logit_paddings: shape (batch, frames); 1 for a frame that is not there, 0 for one that is.
      labels: integers in [0, classes), shape (batch, length). A label outside the range gives NaN, unless it is
        padding; `jax.experimental.checkify` reports it.
      label_paddings: shape (batch, length); 1 for a label that is not there. Padding comes last in a row.
      blank_id: the class of the blank.
      log_epsilon: what stands for log 0. Labels that no alignment can spell cost about -log_epsilon.

    Returns:
      The losses, shape (batch,), at least float32, never negative.

    Raises:
      ArgumentError: logits are not floating, or labels not integers.
      StructureError: shapes do not fit.
      HyperparameterError: blank_id is no class.

    Defaults: as in Optax.

    Source: Graves et al. 2006, doi:10.1145/1143844.1143891.

    >>> import jax.numpy as jnp
    >>> uniform = jnp.zeros((1, 2, 2))  # two frames spell "1" as 11, 01 or 10: three in four alignments
    >>> print(jnp.exp(-ctc_loss(uniform, jnp.zeros((1, 2)), jnp.array([[1]]), jnp.zeros((1, 1)))))
    [0.75]
    """
    log_p, walk, valid = _problem(
        "ctc_loss", logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon
    )
    return jnp.where(valid, _loss(log_p, walk), jnp.nan)


def ctc_loss_with_forward_probs(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    *,
    blank_id: int = 0,
    log_epsilon: Any = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`ctc_loss`, and the logarithms of the forward probabilities it is made of.

    Args:
      logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon: as in `ctc_loss`.

    Returns:
      The losses, shape (batch,); log a at the blanks, shape (frames, batch, length + 1), whose entry (t, i, n) belongs
      to n labels spelled by the frames up to t, of which frame t is a blank; log a at the labels, shape (frames,
      batch, length), whose entry (t, i, n) belongs to label n in frame t. A padded frame repeats the one before.
      All at least float32.

    Raises:
      As in `ctc_loss`.

    Defaults: as in Optax.

    Source: Graves et al. 2006, doi:10.1145/1143844.1143891.
    """
    log_p, walk, valid = _problem(
        "ctc_loss_with_forward_probs", logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon
    )
    (last,), (history,) = _forward((walk, _emission(log_p, walk)), history=True)
    loss = _at_least_zero(-_log_likelihood(walk, last))
    history = jnp.swapaxes(history, 1, 2)
    return jnp.where(valid, loss, jnp.nan), history[..., ::2], history[..., 1::2]


class _Walk(NamedTuple):
    """What z is, and how to walk along it. The batch is the last axis, so that a step along z moves whole rows.

    classes: z, integers, shape (J, B), J = 2N + 1; present: frames that are there, (T, 1, B); start: position before
    the first frame, one-hot, (J, B); end: where the walk may end, (J, B); skip: log 1 where a_{j-2} counts, else
    log 0, (J, B); log_zero: what stands for log 0, finite.
    """

    classes: jax.Array
    present: jax.Array
    start: jax.Array
    end: jax.Array
    skip: jax.Array
    log_zero: jax.Array


def _problem(
    who: str,
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    blank_id: int,
    log_epsilon: Any,
) -> tuple[jax.Array, _Walk, jax.Array]:
    """log p, shape (B, T, K); the walk; which rows hold only labels in their range."""
    logits = floating(who, "logits", logits)
    labels = integers(who, "labels", labels)
    logit_paddings, label_paddings = jnp.asarray(logit_paddings), jnp.asarray(label_paddings)
    _check_shapes(who, logits, logit_paddings, labels, label_paddings)
    classes = logits.shape[-1]
    check_number(who, "blank_id", blank_id, integer=True)
    if not 0 <= blank_id < classes:
        raise HyperparameterError(f"{who}: blank_id must lie in [0, {classes}), got {blank_id}.")
    there = label_paddings == 0
    valid = jnp.all(check_labels(who, labels, classes, there) | ~there, axis=1)

    log_zero = jnp.asarray(log_epsilon, wide(logits).dtype)
    z = _with_blanks(jnp.clip(labels, 0, classes - 1).T, blank_id)
    two_before = jnp.pad(z, ((2, 0), (0, 0)), constant_values=blank_id)[:-2]
    position = jnp.arange(z.shape[0])[:, None]
    length = 2 * jnp.sum(there, axis=1)
    walk = _Walk(
        classes=z,
        present=(logit_paddings == 0).T[:, None],
        start=jnp.broadcast_to(position == 0, z.shape),
        end=(position == length) | (position == length - 1),
        skip=jnp.where((position % 2 == 1) & (z != two_before), 0.0, log_zero),
        log_zero=log_zero,
    )
    return jnp.maximum(jax.nn.log_softmax(wide(logits)), log_zero), walk, valid


def _check_shapes(who: str, logits: Any, logit_paddings: Any, labels: Any, label_paddings: Any) -> None:
    if logits.ndim != 3 or logit_paddings.shape != logits.shape[:2]:
        raise StructureError(
            f"{who}: logits must have shape (batch, frames, classes) and logit_paddings (batch, frames), "
            f"got {logits.shape} and {logit_paddings.shape}."
        )
    if labels.ndim != 2 or labels.shape[0] != logits.shape[0] or label_paddings.shape != labels.shape:
        raise StructureError(
            f"{who}: labels and label_paddings must have shape (batch, length) with the batch of logits "
            f"{logits.shape}, got {labels.shape} and {label_paddings.shape}."
        )


def _with_blanks(labels: jax.Array, blank_id: int) -> jax.Array:
    """blank, label_0, blank, ..., label_{N-1}, blank along the first axis."""
    return jnp.full((2 * labels.shape[0] + 1, labels.shape[1]), blank_id, labels.dtype).at[1::2].set(labels)


def _emission(log_p: jax.Array, walk: _Walk) -> jax.Array:
    """log p_t(z_j), shape (T, J, B)."""
    return jnp.take_along_axis(jnp.transpose(log_p, (1, 2, 0)), walk.classes[None], axis=1)


def _forward(*problems: tuple[_Walk, jax.Array], history: bool) -> tuple[Any, Any]:
    """For each walk and its emissions, log a after the last frame and, if wanted, after each of them."""

    def step(walk: _Walk, a: jax.Array, emission: jax.Array, present: jax.Array) -> jax.Array:
        padded = jnp.pad(a, ((2, 0), (0, 0)), constant_values=walk.log_zero)
        one, two = padded[1:-1], padded[:-2] + walk.skip
        top = jnp.maximum(jnp.maximum(a, one), two)  # finite, since log 0 is
        total = top + jnp.log(jnp.exp(a - top) + jnp.exp(one - top) + jnp.exp(two - top))
        return jnp.where(present, emission + total, a)

    def advance(states: Any, frames: Any) -> tuple[Any, Any]:
        states = tuple(step(w, a, *frame) for (w, _), a, frame in zip(problems, states, frames, strict=True))
        return states, states if history else None

    starts = tuple(jnp.where(walk.start, 0.0, walk.log_zero) for walk, _ in problems)
    return jax.lax.scan(advance, starts, tuple((emission, walk.present) for walk, emission in problems))


def _log_likelihood(walk: _Walk, a: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(jnp.where(walk.end, a, a + walk.log_zero), axis=0)


def _reversed(walk: _Walk) -> _Walk:
    """The walk from the last frame and label to the first."""
    flipped = jnp.flip(walk.end, 0)
    start = flipped & (jnp.cumsum(flipped, axis=0) == 1)  # the blank after the last label
    skip = jnp.pad(jnp.flip(walk.skip, 0), ((2, 0), (0, 0)), constant_values=walk.log_zero)[:-2]
    return walk._replace(
        classes=jnp.flip(walk.classes, 0), present=jnp.flip(walk.present, 0), start=start, skip=skip
    )


@jax.custom_jvp
def _loss(log_p: jax.Array, walk: _Walk) -> jax.Array:
    (last,), _ = _forward((walk, _emission(log_p, walk)), history=False)
    return _at_least_zero(-_log_likelihood(walk, last))


@_loss.defjvp
def _loss_jvp(
    primals: tuple[jax.Array, _Walk], tangents: tuple[jax.Array, Any]
) -> tuple[jax.Array, jax.Array]:
    (log_p, walk), (tangent, _) = primals, tangents
    emission = _emission(log_p, walk)
    (last, _), (until, since) = _forward(
        (walk, emission), (_reversed(walk), jnp.flip(emission, (0, 1))), history=True
    )
    log_total = _log_likelihood(walk, last)
    both = until + jnp.flip(since, (0, 1)) - emission  # each of the two holds the emission
    posterior = jnp.where(walk.present, jnp.exp(both - log_total), 0.0)
    # As a product with the one-hot labels: cheaper than a scatter.
    one_hot = jax.nn.one_hot(walk.classes, log_p.shape[-1], dtype=log_p.dtype)
    highest = jax.lax.Precision.HIGHEST
    by_label = jnp.einsum("tnb,nbk->btk", posterior[:, 1::2], one_hot[1::2], precision=highest)
    by_blank = jnp.sum(posterior[:, ::2], axis=1).T[..., None] * one_hot[0][:, None]
    return _at_least_zero(-log_total), -jnp.sum((by_label + by_blank) * tangent, (1, 2))


def _at_least_zero(loss: jax.Array) -> jax.Array:
    """Rounding may take the logarithm of a probability near 1 above 0."""
    return loss + jax.lax.stop_gradient(jnp.maximum(-loss, 0.0))
