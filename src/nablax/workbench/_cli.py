"""The command line: the table of commands, the exit codes, and what is set up before any of them.

0    done
1    `nablax doctor` found something wrong; whoever read our output closed it
2    bad input, said in one line on stderr
130  interrupted by Ctrl-C; what was finished is written
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click
import jax

from nablax.core import ArgumentError, HyperparameterError

INTERRUPTED = 130  # what a shell reports for a process that SIGINT ended

COMMANDS = ("compare", "report", "list", "new-problem", "launch", "doctor")
"""Each is `command` in the file of its name, `_commands/_new_problem.py`, which is imported when it is asked for."""


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}._commands._{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            known = ", ".join(COMMANDS)
            own = f" A problem is compared by: nablax compare {args[0]}" * args[0].endswith(".py")
            raise click.UsageError(f"there is no command {args[0]!r}; choose from {known}.{own}")
        return super().resolve_command(context, args)


_EPILOG = """\b
Exit codes: 0 done; 1 nablax doctor found something wrong; 2 bad input; 130 interrupted, what was finished is written.
Completion: eval "$(_NABLAX_COMPLETE=bash_source nablax)", or zsh_source, or fish_source."""


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="nablax", prog_name="nablax")
def cli() -> None:
    """Compare optimizers, on real data or on your own problem."""


def keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, unless it has been given a folder already.

    It lies in ~/.cache/nablax (or under XDG_CACHE_HOME): a second comparison on the same problem compiles nothing.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "nablax" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def run(arguments: list[str] | None) -> int:
    """Runs the command line and returns its exit code."""
    keep_compiled_programs()
    try:
        code = cli.main(arguments, prog_name="nablax", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (ArgumentError, HyperparameterError) as error:
        return _refuse(str(error))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `nablax list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refuse(f"cannot write {error.filename2 or error.filename}: {error.strerror}.")
    return code or 0


def _refuse(message: str) -> int:
    click.echo(f"nablax: {' '.join(message.split())}", err=True)
    return 2
