"""The names of `optax.microbatching`."""
