"""What all the others stand on: errors, avals, counters, settings of JAX, numbers that vary, bounded dictionaries.

Imports none of the other folders.
"""
