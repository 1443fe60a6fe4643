"""A path as a function, and the ways to run it: replayed in JAX, as a line of kernels, compiled.

Imports `_path` and what is below it.
"""
