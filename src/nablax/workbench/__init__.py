"""The workbench: the command line that compares optimizers on a problem, sweeps their rates, and reports.

It needs the extra `nablax[workbench]`; nothing here is imported by `import nablax`.
"""
