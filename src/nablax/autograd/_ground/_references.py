"""Who holds an object: whether anybody does besides the list that a loop goes over."""

from __future__ import annotations

from sys import getrefcount

# What `getrefcount` counts of an object that nobody else holds: the list, the loop's variable and, before Python 3.14,
# its own argument.
(OWN,) = [getrefcount(x) for x in [object()]]
