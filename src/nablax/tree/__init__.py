"""Arithmetic, norms, casts, paths and random values over pytrees, and the fields of nested states.

A tree is anything JAX can flatten. None leaves are kept and skipped. Functions that add things up do so in at
least float32, whatever the leaves are stored in.
"""

from ._across import SplitError as SplitError
from ._across import across as across
from ._across import manual_axes as manual_axes
from ._across import reach_now as reach_now
from ._across import refusal as refusal
from ._across import split_over as split_over
from ._arithmetic import add as add
from ._arithmetic import add_scale as add_scale
from ._arithmetic import allclose as allclose
from ._arithmetic import batch_shape as batch_shape
from ._arithmetic import clip as clip
from ._arithmetic import conj as conj
from ._arithmetic import div as div
from ._arithmetic import mul as mul
from ._arithmetic import real as real
from ._arithmetic import scale as scale
from ._arithmetic import sub as sub
from ._arithmetic import where as where
from ._casting import at_least_float32 as at_least_float32
from ._casting import cast as cast
from ._casting import cast_like as cast_like
from ._casting import dtype as dtype
from ._casting import full_like as full_like
from ._casting import ones_like as ones_like
from ._casting import zeros_like as zeros_like
from ._map_params import is_params_placeholder as is_params_placeholder
from ._map_params import map_params as map_params
from ._moments import bias_correction as bias_correction
from ._moments import update_infinity_moment as update_infinity_moment
from ._moments import update_moment as update_moment
from ._moments import update_moment_per_elem_norm as update_moment_per_elem_norm
from ._norms import norm as norm
from ._paths import NamedTupleKey as NamedTupleKey
from ._paths import get as get
from ._paths import get_all_with_path as get_all_with_path
from ._paths import path_str as path_str
from ._paths import set as set
from ._random import key_of_part as key_of_part
from ._random import random_like as random_like
from ._random import split_key_like as split_key_like
from ._random import unwrap_random_key_data as unwrap_random_key_data
from ._reductions import all_finite as all_finite
from ._reductions import max as max
from ._reductions import min as min
from ._reductions import size as size
from ._reductions import sum as sum
from ._reductions import vdot as vdot
from ._traverse import is_none as is_none
from ._traverse import reduce_scalars as reduce_scalars
