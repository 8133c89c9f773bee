"""`nmt train`."""

from pathlib import Path
from typing import Annotated

import typer

from training.config import read_recipe
from training.messages import messages
from training.run import run_training

EXIT_INTERRUPTED = 3


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file; see training/recipes.")],
    output: Annotated[Path, typer.Option(help="Folder of the run; a run that is there already goes on.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show how the sample sentences become language.")] = False,
) -> None:
    """Train a model as a recipe says.

    Ctrl-C or SIGTERM saves and ends the run; the same command goes on from there, bit for bit. Several processes:
    torchrun --nproc-per-node=2 -m nmt train RECIPE --output FOLDER.

    Exit status: 0 finished · 2 wrong recipe, data or option · 3 stopped by a signal, and saved · 4 something could not
    be written, as on a full disk · 5 the numbers were no longer finite · 6 a fine-tuned model forgot too much. After 3,
    4 and 5 the last checkpoint is whole.
    """
    console = messages()
    config = read_recipe(recipe, set_ or [])
    outcome = run_training(config, recipe.stem, output, watch=watch)
    if outcome.interrupted:
        console.print(f"stopped at update {outcome.progress.update}; the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.was_finished:
        key = "updates" if outcome.progress.update >= config.updates else "validation.patience"
        console.print(
            f"already finished at update {outcome.progress.update}; nothing was trained. Raise {key} to go on; "
            f"delete {output / 'model'} to have the model chosen and written anew"
        )
    if outcome.model:
        console.print(f"the model is in {outcome.model}; its README.md has the scores")
        console.print(f"serve it:  nmt serve --model {outcome.model}")
