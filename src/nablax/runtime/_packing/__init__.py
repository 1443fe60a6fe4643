"""Many small arrays as few large ones."""
