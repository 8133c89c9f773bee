"""The console command `nmt`. Each package brings its sub-commands through the entry-point group `nmt.commands`."""

import os
import sys
from importlib.metadata import entry_points

import typer

from nmt.errors import NmtError

EXIT_ERROR = 2


def build() -> typer.Typer:
    """The command with all installed sub-commands."""
    app = typer.Typer(
        name="nmt",
        help="Train, evaluate and serve translation models of your own.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for entry in sorted(entry_points(group="nmt.commands"), key=lambda entry: entry.name):
        app.command(entry.name)(entry.load())
    return app


def main() -> None:
    """Run the command; an error that we raise on purpose is one line and exit status 2."""
    try:
        build()()
    except NmtError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
