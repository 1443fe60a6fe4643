"""Torch's names as tables: rows, and what makes methods and functions of them; tensors from nothing; random numbers."""
