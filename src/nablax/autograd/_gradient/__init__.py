"""Back from results to leaves: through what is still recorded and then from node to node.

Imports `_segment` and what is below it.
"""
