"""The compiled program: some steps of some runs.

The rate is a traced number and the steps run under `lax.scan`, so nothing is compiled again for another rate, seed or
stretch of steps. Runs go one after the other on a CPU (`lax.map`), side by side on an accelerator (`vmap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax import tree
from nablax.core import ArgumentError, with_extra_args_support
from nablax.optimizers import ScheduleFreeState, schedule_free_eval_params
from nablax.runtime import step as one_step

from .._catalogue import Spec
from .._problems import Problem
from ._start import Start


class Unsuited(ArgumentError):
    """An optimizer, or the problem with it, failed while its program was built or ran; `reason` says how."""

    def __init__(self, problem: Problem, spec: Spec, error: Exception):
        self.reason = str(error).strip().partition("\n")[0]
        super().__init__(f"compare: --optimizer {spec.text} on {problem.name}: {self.reason}")


@dataclass(frozen=True)
class Group:
    """Runs that one call of the program takes on: learning rate (n,), place of the seed in the start (n,)."""

    rate: Any
    seed: Any

    @classmethod
    def of(cls, rates: list[float], seeds: int) -> Group:
        """Each rate with each seed."""
        return cls(
            np.repeat(np.asarray(rates, np.float32), seeds),
            np.tile(np.arange(seeds, dtype=np.int32), len(rates)),
        )


jax.tree_util.register_dataclass(Group, data_fields=["rate", "seed"], meta_fields=[])


class Program:
    """`length` steps of `size` runs, compiled; steps past the last do nothing.

    Raises:
      Unsuited: the optimizer or the problem fails while it is built; when called, while it runs.
    """

    def __init__(
        self, problem: Problem, spec: Spec, start: Start, data: Any, *, steps: int, length: int, group: Group
    ):
        self._start, self._fresh, self._size = (
            start,
            lambda p: (p, spec.build(1e-3, steps).init(p)),
            len(group.rate),
        )
        self._problem, self._spec = problem, spec
        try:
            stretch = _stretch(problem, spec, steps, length)
            first = (self.blank(), np.int32(0), group, start, data)
            self._call = jax.jit(stretch, donate_argnums=0).lower(*first).compile()
        except Exception as error:  # whatever the user's functions raise while they are traced
            raise Unsuited(problem, spec, error) from error

    def __call__(self, carry: Any, first: int, group: Group, data: Any) -> Any:
        """(carry, losses (n, length), ratios (n, length), look) after the steps from `first` on.

        look: the metric (n,); the parameters to take it at, (n, ...), where JAX cannot; None where there is none.
        """
        try:
            return jax.block_until_ready(self._call(carry, np.int32(first), group, self._start, data))
        except jax.errors.JaxRuntimeError as error:  # no memory left; a callback of the user's failed
            raise Unsuited(self._problem, self._spec, error) from error

    def blank(self) -> Any:
        """Room for parameters and states of the runs; the program fills it in before its first step."""

        def room(leaf: Any) -> Any:
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.split(jax.random.key(0), (self._size, *leaf.shape))
            return jax.device_put(np.zeros((self._size, *leaf.shape), leaf.dtype))

        return jax.tree.map(room, jax.eval_shape(self._fresh, self._start.one))


def _stretch(problem: Problem, spec: Spec, steps: int, length: int) -> Callable[..., Any]:
    def one(carry: Any, run: Group, first: Any, start: Start, data: Any) -> Any:
        params, key, batches = jax.tree.map(lambda leaf: leaf[run.seed], (start.params, start.keys, data))
        tx = with_extra_args_support(spec.build(run.rate, steps))
        carry = jax.lax.cond(first == 0, lambda: (params, tx.init(params)), lambda: carry)

        def step(carry: Any, count_and_batch: Any) -> Any:
            params, state = carry
            count, batch = count_and_batch
            if not problem.streams:
                batch = problem.batches(jax.random.fold_in(key, count))

            def loss_of(p: Any, **others: Any) -> Any:  # a line search hands on all that it got
                return problem.loss(p, batch)

            loss, grads = jax.value_and_grad(loss_of)(params)
            extra = {"value": loss, "grad": grads, "value_fn": loss_of, "obj_fn": loss_of}
            done = one_step(tx, grads, state, params, extra)
            size = tree.norm(params)
            ratio = tree.norm(done.updates) / jnp.where(size > 0, size, 1)
            return (done.params, done.state), (loss.astype(jnp.float32), ratio.astype(jnp.float32))

        def step_or_rest(carry: Any, count_and_batch: Any) -> Any:
            if steps % length == 0:
                return step(carry, count_and_batch)
            nothing = (jnp.zeros((), jnp.float32),) * 2
            return jax.lax.cond(
                count_and_batch[0] < steps, step, lambda c, _: (c, nothing), carry, count_and_batch
            )

        carry, (losses, ratios) = jax.lax.scan(step_or_rest, carry, (first + jnp.arange(length), batches))
        return carry, losses, ratios, _look(problem, *carry)

    def stretch(carry: Any, first: Any, group: Group, start: Start, data: Any) -> Any:
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda x: one(x[0], x[1], first, start, data), (carry, group))
        return jax.vmap(lambda c, r: one(c, r, first, start, data))(carry, group)

    return stretch


def _look(problem: Problem, params: Any, state: Any) -> Any:
    """The metric, or where JAX cannot take it, the parameters to take it at; None where there is none."""
    if problem.evaluate is None:
        return None
    inner = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, ScheduleFreeState))
    if any(isinstance(x, ScheduleFreeState) for x in inner):  # whose solution is the average
        params = schedule_free_eval_params(state, params)
    return params if problem.outside else problem.evaluate(params)
