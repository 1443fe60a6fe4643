"""The names of `optax.experimental`."""
