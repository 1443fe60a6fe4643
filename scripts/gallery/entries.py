"""What the gallery shows: every optimizer with the call that is drawn and when to use it; every schedule with a call."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import nablax
import nablax.linesearch
import nablax.schedules


@dataclass(frozen=True)
class Entry:
    """One optimizer.

    Attributes:
      name: of the public function.
      call: the call that is drawn, with `lr` for the learning rate that is swept; without it, nothing is swept.
      when: when to use it.
      whole_batch: drawn with gradients of all the data, as it needs.
    """

    name: str
    call: str
    when: str
    whole_batch: bool = False

    @property
    def swept(self) -> bool:
        """Whether the call has a learning rate."""
        return re.search(r"\blr\b", self.call) is not None

    def make(self, rate: Any) -> Any:
        """The transformation at this rate."""
        return eval(self.call, {**names(), "lr": rate})

    @property
    def module(self) -> Any:
        """The module of its family, whose head has the equations."""
        return inspect.getmodule(names()[self.name])


def names() -> dict[str, Any]:
    """What a call of the gallery may use."""
    return {
        name: getattr(wing, name)
        for wing in (nablax.linesearch, nablax.schedules, nablax.transforms, nablax.optimizers, nablax.core)
        for name in dir(wing)
        if not name.startswith("_")
    }


def families(entries: list[Entry]) -> list[list[Entry]]:
    """The entries, those of one module together."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.module.__name__, []).append(entry)
    return list(found.values())


def _entry(text: str, when: str, **options: Any) -> Entry:
    return Entry(text.partition("(")[0], text, when, **options)


OPTIMIZERS: dict[str, list[Entry]] = {
    "Gradient descent, momentum, signs": [
        _entry("sgd(lr)", "The baseline, and the one whose theory is complete. It needs its rate tuned and gradients of one scale."),
        _entry("momentum(lr)", "Convolutional networks with a good schedule; where Adam generalises worse."),
        _entry("nesterov(lr)", "As `momentum`; often a little faster on smooth losses."),
        _entry("noisy_sgd(lr, eta=0.01, key=0)", "Very deep or hard-to-start networks; escaping saddle points."),
        _entry("dpsgd(lr, l2_norm_clip=1.0, noise_multiplier=0.5, seed=0)", "Training on private data. Count the privacy budget with an accountant of your own."),
        _entry("sign_sgd(lr)", "Many workers that send one bit a parameter; studying what Adam does."),
        _entry("signum(lr)", "As `sign_sgd`, less noisy: momentum before the sign."),
        _entry("rprop(lr)", "Gradients of the whole data set, small problems; never mini-batches.", whole_batch=True),
    ],
    "A rate for each parameter": [
        _entry("adagrad(lr)", "Sparse features: rare ones keep large steps. On long runs its rate dies out."),
        _entry("rmsprop(lr)", "Recurrent networks and reinforcement learning, where papers used it; otherwise `adam`."),
        _entry("adadelta(lr)", "Where nothing is known of the scale of the rate: start at 1."),
        _entry("madgrad(lr)", "Sparse problems and images, where Adagrad stalls and momentum is to generalise as SGD's."),
    ],
    "Adam and its kin": [
        _entry("adam(lr)", "The default for a first try; without weight decay."),
        _entry("adamw(lr)", "The default for transformers and most networks that are regularised."),
        _entry("nadam(lr)", "As `adam`, a little faster early on."),
        _entry("nadamw(lr)", "As `adamw`; a strong choice on benchmarks of training speed."),
        _entry("adamax(lr)", "Gradients with rare, very large entries, such as those of embeddings."),
        _entry("adamaxw(lr)", "The same with decoupled weight decay."),
        _entry("amsgrad(lr)", "Where `adam` does not settle, or a proof of convergence is asked for."),
        _entry("yogi(lr)", "Where Adam's effective rate jumps up after quiet stretches."),
        _entry("radam(lr)", "Instead of a warm-up."),
        _entry("adabelief(lr)", "Noisy gradients with directions that agree; GANs."),
        _entry("acprop(lr)", "As `adabelief`, where noise is so strong that numerator and denominator must not share it."),
        _entry("adan(lr)", "Vision transformers at large rates, if memory for a third moment is there."),
        _entry("adopt(lr)", "Where b2 cannot be tuned: it converges for every one."),
        _entry("ademamix(lr, b3=0.99, alpha=2.0)", "Long runs of language models: old gradients still tell something."),
        _entry("simplified_ademamix(lr, alpha=1.0)", "As `ademamix` with one momentum less to store; use a far smaller rate."),
    ],
    "Little memory": [
        _entry("lion(lr)", "Half of Adam's state. Large batches; a third to a tenth of AdamW's rate, more decay."),
        _entry("tiger(lr)", "The least state that has momentum, in language models with accumulated gradients."),
        _entry("novograd(lr)", "Half of Adam's state; speech and language models with large batches."),
        _entry("adafactor(lr, min_dim_size_to_factor=16)", "Very large matrices whose second moments do not fit."),
        _entry("sm3(lr)", "Large embeddings with sparse gradients; Adagrad's rates for the memory of momentum."),
        _entry("galore(lr, rank=16, update_proj_gap=10)", "Training all weights of a large model in little memory."),
    ],
    "Layers and matrices": [
        _entry("lars(lr, trust_coefficient=0.1)", "Convolutional networks with batches of thousands."),
        _entry("lamb(lr)", "Transformers with batches of thousands."),
        _entry("fromage(lr)", "A rate that means the same in every architecture: the relative change of a layer a step."),
        _entry("muon(lr)", "Hidden matrices of transformers and convolutions; Adam takes the rest by itself."),
    ],
    "Rates that find themselves": [
        _entry("polyak_sgd(max_learning_rate=1.0)", "The least loss is known, as 0 where a model can fit all its data. Pass `value=`."),
        _entry("momo(lr)", "SGD's rate is hard to tune: too large ones are cut by the loss. Pass `value=`."),
        _entry("momo_adam(lr)", "The same for Adam. Pass `value=`."),
        _entry("dog()", "No rate to tune, with its averaged iterates; fine-tuning."),
        _entry("dowg()", "As `dog`, and faster on smooth losses."),
        _entry("dadapt_adamw(estim_lr0=1e-4)", "AdamW without a rate to tune; multiply by a schedule that starts at 1."),
        _entry("prodigy(estim_lr0=1e-4)", "As `dadapt_adamw`, quicker to find the rate. The first choice among these."),
        _entry("mechanize(adam(1.0), s_init=1e-4)", "An optimizer and a schedule are chosen, and only their scale is not."),
        _entry("cocob()", "Nothing at all to tune; small and convex problems."),
    ],
    "Averages and neighbourhoods": [
        _entry("schedule_free(sgd(lr), lr)", "A base optimizer of your own, and a length of training that is not known before."),
        _entry("schedule_free_sgd(lr)", "As `momentum` with a schedule, without one. Evaluate at `schedule_free_eval_params`."),
        _entry("schedule_free_adamw(lr)", "As `adamw` with a schedule, without one. Evaluate at `schedule_free_eval_params`."),
        _entry("sam(sgd(lr), chain(normalize(), sgd(0.05)))", "Generalisation matters more than time: two gradients a step."),
    ],
    "Curvature": [
        _entry("sophia(lr, gamma=0.05)", "Language models; it draws on Hessian products every tenth step. Pass `obj_fn=`."),
        _entry("lbfgs()", "Smooth losses without noise: fits, physics, full batches. See [minimize](../minimize.md).", whole_batch=True),
    ],
    "Games": [
        _entry("optimistic_gradient_descent(lr)", "Two players whose gradients chase each other; one gradient a step."),
        _entry("optimistic_adam(lr)", "GANs. See [the tutorial](../tutorials/optimistic-adam.md)."),
        _entry("optimistic_adam_v2(lr)", "The same; its optimism is a factor of the rate and follows its schedule."),
    ],
}  # fmt: skip
"""By heading."""

ENTRIES = [entry for group in OPTIMIZERS.values() for entry in group]

SCHEDULES: dict[str, str] = {
    "constant_schedule": "constant_schedule(1.0)",
    "linear_schedule": "linear_schedule(1.0, 0.1, transition_steps=80)",
    "polynomial_schedule": "polynomial_schedule(1.0, 0.0, power=2, transition_steps=100)",
    "exponential_decay": "exponential_decay(1.0, transition_steps=20, decay_rate=0.5, staircase=True)",
    "cosine_decay_schedule": "cosine_decay_schedule(1.0, decay_steps=100)",
    "warmup_constant_schedule": "warmup_constant_schedule(0.0, peak_value=1.0, warmup_steps=20)",
    "warmup_cosine_decay_schedule": "warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=100)",
    "warmup_exponential_decay_schedule": (
        "warmup_exponential_decay_schedule(0.0, 1.0, warmup_steps=10, transition_steps=30, decay_rate=0.5)"
    ),
    "linear_onecycle_schedule": "linear_onecycle_schedule(100, peak_value=1.0)",
    "cosine_onecycle_schedule": "cosine_onecycle_schedule(100, peak_value=1.0)",
    "sgdr_schedule": """sgdr_schedule(
    [
        dict(init_value=0.0, peak_value=p, warmup_steps=3, decay_steps=d)
        for p, d in [(1.0, 20), (0.7, 30), (0.5, 50)]
    ]
)""",
    "piecewise_constant_schedule": "piecewise_constant_schedule(1.0, {40: 0.5, 70: 0.2})",
    "piecewise_interpolate_schedule": 'piecewise_interpolate_schedule("cosine", 1.0, {30: 0.5, 60: 1.5, 100: 0.1})',
    "join_schedules": "join_schedules([linear_schedule(0.0, 1.0, 20), cosine_decay_schedule(1.0, 50)], [50])",
}
"""By name, the call that is drawn over the counts 0, ..., 100."""
