"""What the user holds: `Tensor` with its operators and methods, JAX's functions lifted, no_grad.

Imports `_gradient` and what is below it.
"""
