"""The names of `optax.experimental.aggregating`."""
