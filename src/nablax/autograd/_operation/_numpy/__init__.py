"""JAX's programs run by NumPy, one elementary operation after the other: nothing is compiled, so nothing waits.

`Lowered` takes a traced function apart once: every decision that depends on shapes, dtypes and parameters is made then,
and what is left is a list of NumPy functions to call. What NumPy lacks is one jitted call. Results are equal to XLA's
to the last bits; integers, truth values and random bits to every bit.
"""

from ._elementwise import QUICK as QUICK
from ._lower import Kernel as Kernel
from ._lower import Lowered as Lowered
from ._lower import clear as clear
from ._lower import perform as perform
from ._lower import row as row
from ._pattern import Pattern as Pattern
