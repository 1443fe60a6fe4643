"""The entry point of the `nablax` command, which also runs as `python -m nablax.workbench`."""

from __future__ import annotations

import sys

from nablax.distributed import launch

_EXTRA = ("click", "rich", "matplotlib", "scipy", "sklearn")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code; without the extra, says in one line how to install it.

    `nablax launch` needs no extra.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        from ._cli import run

        return run(arguments)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        if given[:1] == ["launch"]:
            launch(given[1:])
        print(f"nablax: the command line needs {missing}: pip install 'nablax[workbench]'", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
