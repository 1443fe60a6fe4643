"""JAX's programs run by NumPy, one elementary operation after the other: nothing is compiled, so nothing waits.

`Lowered` takes a traced function apart once: every decision that depends on shapes, dtypes and parameters is made then,
and what is left is a list of NumPy functions to call. What NumPy lacks is one jitted call. Results are equal to XLA's
to the last bits; integers, truth values and random bits to every bit.
"""

from ._calls import Kernel as Kernel
from ._calls import perform as perform
from ._calls import row as row
from ._compiled import clear as clear
from ._elementwise import QUICK as QUICK
from ._lower import Lowered as Lowered
from ._pattern import Pattern as Pattern
