"""A path ends: its program runs, and its results get values and nodes of the graph.

What failed is rescued, what has become long is cut. Imports `_program` and what is below it.
"""
