"""`train_step`: loss, gradient, transformation and application as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    EAGER,
    FUNCTION,
    MISSING,
    ArgumentError,
    StructureError,
    Unfilled,
    as_flags,
    calls_explained,
    check_number,
    resolve,
    trace_now,
    under_trace,
    with_extra_args_support,
    with_hyperparams,
)
from nablax.runtime._buffers import check_alive
from nablax.runtime._live import Numbers
from nablax.runtime._loss_gradient import LossParts, key_positions, loss_gradient, noise_scale, unscaled
from nablax.runtime._metrics import ratio
from nablax.runtime._modules import check_arrays
from nablax.runtime._packing._flat import FlatParams, as_tree
from nablax.runtime._packing._packed import check_packable
from nablax.runtime._precision import dynamic_loss_scale, find_loss_scale, holds_loss_scale
from nablax.runtime._program import Programs, Stepper
from nablax.runtime._sharding import Layout
from nablax.runtime._step import by_group, injected_rates, learning_rates, norms
from nablax.runtime._step import step as one_step
from nablax.runtime._told import Told
from nablax.runtime._wrong import SIGNATURE, TRAIN_STEP, check_call, transformation, wrong_step


@calls_explained("train_step", TRAIN_STEP)
def train_step(
    loss_fn: Callable[..., Any],
    tx: Any,
    *,
    has_aux: bool = False,
    microbatches: int = 1,
    keys: int | str | tuple[int | str, ...] = (),
    loss_scale: float | str | None = None,
    skip_nonfinite: bool = False,
    metrics: bool = True,
    donate: bool = True,
    mesh: Any = None,
    axis: str | tuple[str, ...] = "data",
    param_specs: Any = None,
) -> Callable[..., tuple[Any, Any, dict[str, Any]]]:
    """Compiles a whole training step.

    Args:
      loss_fn: `loss_fn(params, *batch)` returns a scalar, with `has_aux` a pair of a scalar and a tree. Where the step
        is called with `flat_params(params)`, the loss gets the tree.
      tx: a gradient transformation. It gets `value=`, `grad=` and `value_fn=` where it takes them, so L-BFGS and line
        searches work as they are.
      has_aux: the loss comes with something else, which is returned as `metrics["aux"]`.
      microbatches: parts into which the leading axis of each array of the batch is split, one after the other, so that
        activations of one part are in memory at a time. Part i holds every `microbatches`-th row, starting at row i:
        where the batch is sharded, each device keeps a share of every part. Gradients are averaged in at least float32;
        aux is stacked.
      keys: which arguments of the batch are random keys, by position in the batch or by their name in `loss_fn`: they
        are split into one for each microbatch.
      loss_scale: the loss is multiplied by it and the gradient divided, which keeps small float16 gradients alive;
        gradients are then at least float32. "dynamic" finds it as it goes and skips steps whose gradients overflow, see
        `dynamic_loss_scale`; begin with `state = step.init(params)`.
      skip_nonfinite: leave parameters and state as they are where a gradient is infinite or NaN.
      metrics: also compute the norms of gradient, update and parameters, and, with microbatches, unbiased estimates of
        the squared norm of the true gradient (gradient_signal), of the variance of one row's (gradient_noise), and
        their quotient, the batch size beyond which larger ones gain little (gradient_noise_scale: average the two over
        steps first; McCandlish et al. 2018, arXiv:1812.06162).
      donate: params and state are overwritten in place and the ones handed in become invalid.
      mesh, axis, param_specs: spread the state over the devices of a mesh, as `shard_state` does. The state for the
        first step is that of `shard_state(tx, mesh, axis=axis, param_specs=param_specs).init(params)`.

    Returns:
      `step(params, state, *batch, hyperparams={})` -> `(params, state, metrics)`; `step.init(params)` is the first
      state, the transformation's. `hyperparams` sets numbers for this step by path, unique short name or pattern,
      without recompiling. `metrics` holds loss, learning_rate (a dict of one a group where there are several; absent
      where only a transformation of another library knows it), skipped (0 or 1), loss_scale where it is dynamic, and
      the norms: arrays of shape ().

    Raises:
      HyperparameterError: microbatches < 1, a loss scale that is not positive, or a number that the transformation
        refuses.
      ArgumentError: loss_fn is no function, or microbatches no integer.
      StructureError: at the first step, a batch whose leading axis microbatches does not divide, or a loss that is no
        scalar.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> step = train_step(lambda w, x, y: jnp.mean((x @ w - y) ** 2), tx := sgd(0.1))
      >>> w, x, y = jnp.zeros(2), jnp.eye(2), jnp.array([1.0, 2.0])
      >>> w, state, metrics = step(w, tx.init(w), x, y)
      >>> float(metrics["loss"]), w
      (2.5, Array([0.1, 0.2], dtype=float32))
    """
    FUNCTION("train_step", "loss_fn", loss_fn)
    has_aux, skip_nonfinite, metrics, donate = as_flags(
        "train_step", has_aux=has_aux, skip_nonfinite=skip_nonfinite, metrics=metrics, donate=donate
    )
    check_number("train_step", "microbatches", microbatches, 1, integer=True)
    tx = transformation("train_step", tx, TRAIN_STEP)
    dynamic = loss_scale == "dynamic"
    if dynamic:
        tx = tx if holds_loss_scale(tx) else with_extra_args_support(dynamic_loss_scale(tx))
    elif isinstance(loss_scale, str):
        raise ArgumentError(
            f"train_step: loss_scale must be a number, 'dynamic' or None, got {loss_scale!r}."
        )
    else:
        check_number("train_step", "loss_scale", loss_scale, 0, open_low=True, optional=True)
    layout = None if mesh is None else Layout(tx, mesh, axis, param_specs, "train_step")
    numbers = Numbers(tx)
    scale = None if dynamic else loss_scale
    noise = metrics and microbatches > 1
    parts = LossParts(loss_fn, has_aux, int(microbatches), scale, key_positions(loss_fn, keys), noise)
    told = Told(numbers, skip_nonfinite or dynamic)

    def program(opened: Any, params: Any, state: Any, batch: tuple[Any, ...]) -> Any:
        if isinstance(params, FlatParams):
            check_packable("train_step", tx, params.layout.dtypes)
        scaling = _scaling(state) if dynamic else None
        now = parts if scaling is None else parts._replace(scale=scaling.loss_scale)
        loss, aux, grads, squares = loss_gradient(now, params, batch)
        own = unscaled(grads, now.scale)
        grads = own if scaling is None else grads  # a dynamic scale is the transformation's to divide by
        rates = learning_rates(opened, state)

        def value_fn(p: Any) -> Any:
            out = loss_fn(as_tree(p), *batch)
            return out[0] if has_aux else out

        extra = {"value": loss, "grad": grads, "value_fn": value_fn}
        done = one_step(opened, grads, state, params, extra, skip_nonfinite=skip_nonfinite, layout=layout)
        report = {"loss": loss}
        rates |= injected_rates(done.state)
        if not rates.keys() <= told.rates:
            wide = {path: jnp.asarray(rate, jnp.result_type(float)) for path, rate in rates.items()}
            report["learning_rate"] = by_group(wide)
        if done.finite is not None:
            report["skipped"] = 1 - done.finite.astype(jnp.int32)
        if scaling is not None:
            after = _scaling(done.state)
            report["loss_scale"] = scaling.loss_scale
            report["skipped"] = report.get("skipped", 0) + after.skipped_steps - scaling.skipped_steps
        if metrics:
            found, done = norms(own, done)
            report |= found
            report["update_ratio"] = ratio(report["update_norm"], report["parameter_norm"])
        if squares is not None:
            rows = next((x.shape[0] for i, x in enumerate(jax.tree.leaves(batch)) if i not in parts.keys), 0)
            small = squares if now.scale is None else squares / now.scale**2
            report |= noise_scale(small, report["gradient_norm"] ** 2, rows, parts.parts)
        if has_aux:
            report["aux"] = aux
        return done.params, done.state, report

    call = Stepper(Programs(numbers, program, (0, 1) if donate else ()))
    first = numbers.first

    def at_paths(hyperparams: dict[str, Any] | None) -> dict[str, Any]:
        if not isinstance(hyperparams, Mapping | None):
            came = f"{type(hyperparams).__name__}: {hyperparams!r}"
            raise ArgumentError(
                f"train_step: hyperparams must be a dict of numbers by name, got {came}."[:300]
            )
        return {path: v for name, v in (hyperparams or {}).items() for path in resolve(name, first)}

    def slowly(params: Any, state: Any, batch: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A step that is traced, or built, or has numbers of its own."""
        given = at_paths(options.pop("hyperparams", None))
        if options or state is MISSING:
            raise wrong_step(params, state, batch, options)
        if under_trace():
            *after, report = program(with_hyperparams(tx, given), params, state, batch)
            return *after, report | told.about({**first, **given})
        values = first
        if given:
            values = dict(first)
            for path, value in given.items():
                values[path] = numbers.checked(f"train_step: hyperparams[{path!r}]", path, value)
        *after, report = call.run(values, (params, state, batch))
        return *after, report | told.about(values)

    def step(
        params: Any = MISSING, state: Any = MISSING, *batch: Any, **options: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        of, source, version, compiled, vector, _ = call.ready
        of_known, known = told.last
        try:
            # What a step costs beside its program: a small model feels each call, so `under_trace` is written out.
            if (
                of is of_known is first
                and source.version == version
                and not options
                and type(trace_now.value) is EAGER
            ):
                try:
                    done = compiled(params, state, batch, vector)
                    done[2].update(known)
                    return done
                except Unfilled:  # shapes that are new
                    pass
            return slowly(params, state, batch, options)
        except (RuntimeError, ValueError, TypeError) as e:
            if isinstance(e, ArgumentError) or under_trace():
                raise
            if state is MISSING:
                raise wrong_step(params, state, batch, options) from None
            check_alive((params, state, batch), e)
            check_arrays("train_step", params)
            check_call(e, loss_fn, tx, params, state, batch)
            raise

    def init(params: Any) -> Any:
        try:
            return tx.init(params)
        except ArgumentError:
            check_arrays("train_step", params)
            raise

    step.__signature__ = SIGNATURE  # type: ignore[attr-defined]
    step.init = init  # type: ignore[attr-defined]
    step.lower = lambda p, s, *batch: call.lowered(first, p, s, batch)  # type: ignore[attr-defined]
    step.cache_size = lambda: call.compilations  # type: ignore[attr-defined]
    return step


def _scaling(state: Any) -> Any:
    """The state of the dynamic loss scale.

    Raises:
      StructureError: there is none.
    """
    found = find_loss_scale(state)
    if found is None:
        raise StructureError(
            "train_step: loss_scale='dynamic' keeps its scale in the state; begin with state = step.init(params)."
        )
    return found
