"""The commands of `nablax`, one a file; `_cli.py` registers them."""
