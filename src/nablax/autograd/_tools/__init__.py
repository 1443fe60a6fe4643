"""What is built on tensors: derivatives as functions, checks, drawings, training.

Imports `_tensor` and what is below it.
"""
