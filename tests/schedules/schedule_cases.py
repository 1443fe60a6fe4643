"""Ready calls of every schedule: (name, positional, keyword)."""

CASES = [
    ("constant_schedule", (0.3,), {}),
    ("linear_schedule", (1.0, 0.1, 7), {}),
    ("linear_schedule", (0.2, 2.0, 5), {"transition_begin": 3}),
    ("linear_schedule", (0.2, 2.0, 0), {}),
    ("polynomial_schedule", (1.0, 0.1, 2, 7), {}),
    ("polynomial_schedule", (0.2, 2.0, 0.5, 5), {"transition_begin": 3}),
    ("polynomial_schedule", (0.2, 2.0, 2, -1), {}),
    ("exponential_decay", (1.0, 3, 0.5), {}),
    ("exponential_decay", (1.0, 3, 0.5), {"transition_begin": 2, "staircase": True, "end_value": 0.3}),
    ("exponential_decay", (0.1, 4, 1.5), {"end_value": 0.2}),
    ("cosine_decay_schedule", (0.7, 10), {}),
    ("cosine_decay_schedule", (0.7, 10), {"alpha": 0.1, "exponent": 2.0}),
    ("piecewise_constant_schedule", (1.0, {3: 0.5, 7: 0.2}), {}),
    ("piecewise_constant_schedule", (1.0,), {}),
    ("piecewise_interpolate_schedule", ("linear", 1.0, {8: 0.1, 3: 0.5}), {}),
    ("piecewise_interpolate_schedule", ("cosine", 1.0, {3: 0.5, 8: 0.1}), {}),
    ("linear_onecycle_schedule", (10, 1.0), {}),
    ("cosine_onecycle_schedule", (10, 1.0), {"pct_start": 0.45, "div_factor": 5.0, "final_div_factor": 50.0}),
    ("warmup_constant_schedule", (0.1, 1.0, 4), {}),
    ("warmup_cosine_decay_schedule", (0.1, 1.0, 4, 11), {}),
    ("warmup_cosine_decay_schedule", (0.1, 1.0, 0, 11), {"end_value": 0.05, "exponent": 1.5}),
    ("warmup_exponential_decay_schedule", (0.1, 1.0, 4, 3, 0.5), {"transition_begin": 2, "end_value": 0.4}),
    (
        "sgdr_schedule",
        (
            [
                {
                    "init_value": 0.1,
                    "peak_value": 1.0,
                    "warmup_steps": 2,
                    "decay_steps": 5,
                    "end_value": 0.01,
                },
                {"init_value": 0.05, "peak_value": 0.5, "warmup_steps": 1, "decay_steps": 6},
            ],
        ),
        {},
    ),
]

IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]
