"""The console command `nmt`. Each package brings its sub-commands through the entry-point group `nmt.commands`."""

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

import typer

from nmt.errors import NmtError

_OURS = ("nmt", "training", "service")
_SAME_PARAGRAPH = re.compile(r"(?<!\n)\n(?!\n)")  # an end of line that typer would keep, whatever the terminal's width
_EXIT_INTERRUPTED = 130


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command with the sub-command that the arguments name, or, for the help, with all that are installed.

    Loading just the one keeps `nmt translate` from importing the web server and the training tools.
    """
    app = typer.Typer(
        name="nmt",
        help="Train, evaluate and serve translation models of your own.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps typer from making a lone sub-command the command itself
    installed = {entry.name: entry for entry in entry_points(group="nmt.commands")}
    wanted = [name for name in arguments[:1] if name in installed] or sorted(installed)
    for name in wanted:
        try:
            command = installed[name].load()
            app.command(name, help=_SAME_PARAGRAPH.sub(" ", inspect.getdoc(command) or ""))(command)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _OURS:
                raise  # a fault of the project, and none that installing more would mend
            any_arguments = {"allow_extra_args": True, "ignore_unknown_options": True}
            app.command(name, context_settings=any_arguments)(_missing(name, error.name))
    return app


def _missing(name: str, module: str | None) -> Callable[[], None]:
    """What stands for a command where only that is installed which translating and serving take."""

    def refuse() -> None:
        raise NmtError(f"nmt {name} needs {module}, which is not installed; install the project as nmt[train]")

    refuse.__doc__ = f"Needs {module}, which is not installed."
    return refuse


def main() -> None:
    """Run the command; an error that we raise on purpose is one line and its exit status, mostly 2."""
    try:
        build(sys.argv[1:])()
    except NmtError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:  # while the command is loaded; once it runs, typer answers as the shell does
        sys.exit(_EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
