"""`run_packages.py` and what it runs are no tests: doctest collection would import them, and so install the shim."""

collect_ignore = ["run_packages.py", "shim", "programs"]
