"""nablax."""
