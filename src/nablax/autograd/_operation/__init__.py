"""An operation by itself: a call with its static arguments, traced once, with its pullback and its kernels.

`_call` is the operation, `_joint` its forward and pullback from one trace, `_kernel` and `_numpy/` what the first tier
runs for it. Imports `_ground`.
"""
