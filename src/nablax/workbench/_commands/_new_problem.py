"""`nablax new-problem`: a problem file to begin with."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from nablax.core import ArgumentError

KINDS = ("plain", "flax", "equinox")


@click.command("new-problem", short_help="Write a problem file to begin with.")
@click.argument("file", type=Path)
@click.option(
    "--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="Who holds the parameters."
)
def command(file: Path, kind: str) -> None:
    """Write FILE, a commented problem that runs as it stands, for `nablax compare FILE`.

    An existing file is left alone.
    """
    if file.suffix != ".py":
        raise ArgumentError(f"new-problem: FILE must end in .py, got {file}.")
    text = (
        resources.files(__package__.rpartition(".")[0])
        .joinpath("_templates", f"{kind}.py")
        .read_text("utf-8")
    )
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise ArgumentError(f"new-problem: {file} exists already; name another file.") from None
    except OSError as error:
        raise ArgumentError(f"new-problem: {file}: cannot write there: {error.strerror}.") from error
    click.echo(f"wrote {file}; next: nablax compare {file}")
