"""The gallery of optimizers and schedules: `python -m scripts.gallery` makes its pictures and its pages."""
