"""What was recorded: a path of states in a trie, each reached by a step, and how an operation joins it.

Nothing is computed here. How a recording ends is named by `_segment` (see `Trace.flush`), of which class results are by
`_tensor` (see `_recorded.use`). Imports `_operation` and what is below it.
"""
