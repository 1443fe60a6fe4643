"""What the arguments of optimizers may be: an argument means the same in all of them, and is checked in one place.

`@checked()` stands over every public function of this wing; what is peculiar to one function is given there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nablax import core
from nablax.core import (
    COUNT,
    DECAY,
    DTYPE,
    FLAG,
    FUNCTION,
    KEY,
    MASK,
    NONNEGATIVE,
    RATE,
    REAL,
    TRANSFORMATION,
    ArgumentError,
    Check,
    number,
)

Function = TypeVar("Function", bound=Callable[..., Any])

_KINDS: Mapping[Check, str] = {
    RATE: """learning_rate adam_learning_rate scaling optimism weight_decay weight_decay_rate
        adam_weight_decay""",
    NONNEGATIVE: "eps eps_root adam_eps_root epsilon alpha",
    DECAY: "b1 b2 b3 adam_b1 adam_b2 beta rho",
    number(-1, 1): "momentum decay",
    number(0): """decay_rate eta gamma initial_accumulator_value initial_scale min_norm min_scale
        noise_multiplier l2_norm_clip trust_coefficient weight_lr_power consistent_rms reps_rel""",
    number(0, integer=True): "warmup_steps min_dim_size_to_factor print_win_rate_every_n_steps",
    number(0, infinite=True): "max_learning_rate threshold",
    number(0, open_low=True): "estim_lr0 estim_lr_coef init_estim_sq_dist s_init smooth_beta min_step_size",
    number(0, open_low=True, infinite=True): "max_step_size clip_threshold",
    REAL: "f_min lower_bound scale global_scale",
    COUNT: "rank update_proj_gap ns_steps update_interval sync_period num_betas",
    FLAG: """nesterov factored eps_in_sqrt centered bias_correction bias_correction_mu bias_correction_nu
        adaptive use_clipping adapt_lower_bound reset_state opaque_mode safeguard_warmup verbose""",
    DTYPE: "mu_dtype accumulator_dtype dtype_momentum state_dtype param_dtype",
    MASK: "mask weight_decay_mask trust_ratio_mask",
    KEY: "seed key random_seed",
    FUNCTION: "clip_value_fn decay_rate_fn",
    TRANSFORMATION: "base_optimizer optimizer adv_optimizer hessian_diagonal_fn",
}


_STEADY: Mapping[Check, str] = {
    number(0, 1, open_high=True): "b1 b2 b3 rho",
    number(0): "eps eps_root",
}


def _by_name(kinds: Mapping[Check, str]) -> dict[str, Check]:
    return {name: kind for kind, names in kinds.items() for name in names.split()}


_COMMON = _by_name(_KINDS)
_COUNTLESS = {**_COMMON, **_by_name(_STEADY)}


def checked(*, counts: bool = True, **own: Any) -> Callable[[Function], Function]:
    """Checks the arguments of an optimizer or part by the table above, in its own name.

    Args:
      counts: False where the state counts no updates, so that the numbers of the algorithm cannot be schedules.
      **own: checks that go before the table.
    """
    return core.checked(_COMMON if counts else _COUNTLESS, **own)


def _pair_of_decays(who: str, name: str, value: Any, optional: bool) -> None:
    del optional
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise ArgumentError(
            f"{who}: {name} must be a pair of decays, got {type(value).__name__}: {value!r}."[:300]
        )
    for i, decay in enumerate(value):
        DECAY.run(who, f"{name}[{i}]", decay, False)


BETAS = Check(_pair_of_decays, numeric=True, decay=True)


def one_of(who: str, **names: Any) -> Any:
    """The value of the one name that is not None.

    Raises:
      ArgumentError: several are given.
    """
    given = {name: value for name, value in names.items() if value is not None}
    if len(given) > 1:
        raise ArgumentError(f"{who}: {' and '.join(given)} are one argument; give it once.")
    return next(iter(given.values()), None)
