"""Draws docs/figures/schedules.svg: six schedules over 1,000 updates.

python docs/figures/schedules.py
"""

from pathlib import Path

import jax.numpy as jnp

import nablax as nx

STEPS, WIDTH, HEIGHT = 1000, 210, 96
PANELS = {
    "warmup_cosine_decay_schedule": nx.warmup_cosine_decay_schedule(0.0, 1.0, 100, STEPS),
    "linear_schedule, joined": nx.join_schedules(
        [nx.linear_schedule(0.0, 1.0, 100), nx.constant_schedule(1.0), nx.linear_schedule(1.0, 0.0, 300)],
        [100, 700],
    ),
    "cosine_onecycle_schedule": nx.cosine_onecycle_schedule(STEPS, 1.0),
    "sgdr_schedule": nx.sgdr_schedule(
        [
            {"init_value": 0.0, "peak_value": peak, "warmup_steps": 40, "decay_steps": 250, "end_value": 0.0}
            for peak in (1.0, 0.8, 0.6, 0.4)
        ]
    ),
    "exponential_decay, staircase": nx.exponential_decay(1.0, 150, 0.6, staircase=True),
    "polynomial_schedule, power 2": nx.polynomial_schedule(1.0, 0.0, 2, STEPS),
}


def panel(title: str, schedule: nx.schedules.WrappedSchedule, left: int, top: int) -> str:
    """One curve in its frame."""
    values = schedule(jnp.arange(STEPS + 1))[::5]
    points = " ".join(
        f"{WIDTH * k / (len(values) - 1):.1f},{HEIGHT - 84 * float(v):.1f}" for k, v in enumerate(values)
    )
    return (
        f'<g transform="translate({left} {top})"><text y="-6">{title}</text>'
        f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#9aa5ae"/>'
        f'<polyline points="{points}" fill="none" stroke="#0b5fa5" stroke-width="2"/></g>'
    )


def main() -> None:
    panels = [
        panel(title, schedule, 24 + 240 * (k % 3), 34 + 138 * (k // 3))
        for k, (title, schedule) in enumerate(PANELS.items())
    ]
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 284" font-family="system-ui, sans-serif" '
        'font-size="12.5" fill="#1c2329" role="img"><title>Six schedules over 1,000 updates</title>'
        f'<rect width="740" height="284" fill="#fff"/>{"".join(panels)}</svg>\n'
    )
    (Path(__file__).parent / "schedules.svg").write_text(svg)


if __name__ == "__main__":
    main()
