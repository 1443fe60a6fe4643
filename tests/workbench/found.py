"""Comparisons made of runs whose losses are known."""

import numpy as np

from nablax.workbench._results import Settings, summarise
from nablax.workbench._running import Runs

RATES = [0.01, 0.1, 1.0]
STEPS = 40
LABELS = ("adam:b1=0.8", "sgd", "lion", "adagrad")


def settings(**changes):
    fields = {
        "problem": "toy", "source": None, "fingerprint": None, "summary": "A toy", "metric": "accuracy",
        "higher_is_better": True, "target": ("loss", 0.5), "budget": "40steps", "search": "grid",
        "optimizers": list(LABELS), "rates": RATES, "seeds": 2, "environment": {"jax": "1"}, "started": "now",
    }  # fmt: skip
    return Settings(**{**fields, **changes})


def runs(label, finals, metrics, first=4.0, stopped=()):
    """Two seeds a rate: losses that fall in a straight line to `finals`, one for each rate or run; a stopped rate
    makes half of the steps."""
    rates = np.repeat(RATES, 2)
    ends = np.concatenate([np.broadcast_to(np.float32(final), 2) for final in finals])
    line = np.linspace(0, 1, STEPS, dtype=np.float32)
    losses = np.where(np.isfinite(ends), ends - first, 0)[:, None] * line + first
    losses[~np.isfinite(ends), -1] = ends[~np.isfinite(ends)]
    losses[:, 0] = first
    done = np.where(np.isin(rates, stopped), STEPS // 2, STEPS)
    losses[done < STEPS, STEPS // 2 :] = np.nan
    held = None
    if metrics is not None:
        each = np.concatenate([np.broadcast_to(np.asarray(m, np.float32), 2) for m in metrics])
        held = np.repeat(each[:, None], 4, axis=1)
    name, _, options = label.partition(":")
    return Runs(
        label=label, optimizer=name, options={"b1": 0.8} if options else {}, schedule=None, steps=STEPS,
        rates=rates, seeds=np.tile([0, 1], 3), done=done, ends=np.arange(1, STEPS + 1), losses=losses,
        ratios=np.full_like(losses, 1e-3), metric_steps=np.arange(10, 41, 10), metrics=held,
        compile_seconds=1.0, run_seconds=2.0, state_bytes=8.0,
    )  # fmt: skip


def compared(*found, failed=None, **changes):
    """The comparison of runs given as (finals, metrics), labelled in order."""
    made = [runs(label, *f) for label, f in zip(LABELS, found, strict=False)]
    return summarise(settings(**{"optimizers": [r.label for r in made], **changes}), made, failed)
