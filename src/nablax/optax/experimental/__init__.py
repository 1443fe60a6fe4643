"""The names of `optax.experimental`."""

from nablax.optax.experimental import aggregating as aggregating

__all__ = ["aggregating"]
