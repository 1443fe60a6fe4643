"""The names of `optax.second_order`."""
