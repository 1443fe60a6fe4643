"""`nablax launch`: the supervisor's command line; its arguments are its own."""

from __future__ import annotations

import click

from nablax.distributed import launch


@click.command(
    "launch",
    short_help="Run a script in several processes, restart them together.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run a script in several processes, and restart them all when one dies."""
    launch(arguments)
