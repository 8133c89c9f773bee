"""`nmt train`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.config import read_recipe
from training.run import run_training

EXIT_INTERRUPTED = 3


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file; see training/recipes.")],
    output: Annotated[Path, typer.Option(help="Folder of the run; a run that is there already goes on.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
) -> None:
    """Train a model as a recipe says; Ctrl-C or SIGTERM saves and ends with status 3, the same command goes on."""
    console = Console(stderr=True)
    outcome = run_training(read_recipe(recipe, set_ or []), recipe.stem, output)
    if outcome.model is None:
        console.print(f"stopped at update {outcome.progress.update}; the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED)
    console.print(f"the model is in {outcome.model}; its README.md has the scores")
    console.print(f"serve it:  nmt serve --model {outcome.model}")
