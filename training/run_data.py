"""What a run works on: its texts as pieces, and the model that it goes on from."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import track

from nmt.errors import TrainingError
from nmt.package import ModelFolder
from nmt.text.tokenizer import Tokenizer
from nmt.translator import load_model
from training import ranks
from training.batches import Batches
from training.config import TrainingConfig, Validation
from training.corpus.prepared import PreparedCorpus, TrainingSet, weighted
from training.corpus.records import Direction
from training.disk import key_of
from training.fine_tuning import Guard
from training.links import linked_rows
from training.piece_table import Sentences, stored_tables
from training.validation import Lost, Validator, nothing_lost

_LINES = 4096
_PAIRS_FORMAT = 1  # raise it when `_pairs` makes other pairs of the same corpus


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run works on."""

    corpus: PreparedCorpus
    tokenizer: Tokenizer
    batches: Batches
    base: ModelFolder | None

    @classmethod
    def load(cls, config: TrainingConfig, folder: Path) -> Self:
        """As the recipe says; `folder` is that of the run."""
        corpus = PreparedCorpus.load(config.data)
        tokenizer = Tokenizer.load(corpus.tokenizer_folder)
        base = load_model(config.fine_tune.model) if config.fine_tune else None
        return cls(corpus, tokenizer, training_batches(corpus, tokenizer, config, folder), base)

    def guard(self, config: TrainingConfig, validation: Validation) -> Lost:
        """What measures the loss that the recipe's guard is about, on as many sentences as `validation` takes."""
        if self.base is None or config.fine_tune is None or not config.fine_tune.guard:
            return nothing_lost
        return Guard(config.fine_tune, self.base, self.tokenizer, validation).lost

    def directions(self, config: TrainingConfig) -> list[Direction]:
        """What the model translates: what it is trained for, and what its guard has seen that it still can."""
        guarded = config.fine_tune.guard if config.fine_tune else {}
        known = self.base.description.directions if self.base else []
        return list(dict.fromkeys([*self.corpus.directions, *(own for own in known if "-".join(own) in guarded)]))

    def validator(self, config: Validation, part: str = "dev", lost: Lost = nothing_lost) -> Validator:
        """For the dev or the test set. A direction without one is left out."""
        rows = {direction: getattr(self.corpus, part)(direction) for direction in self.corpus.directions}
        return Validator(self.tokenizer, {direction: own for direction, own in rows.items() if own}, config, lost)


def training_batches(corpus: PreparedCorpus, tokenizer: Tokenizer, config: TrainingConfig, folder: Path) -> Batches:
    """The training sets of all corpora and directions as pieces, each pair as often as the weight of its corpus says.

    From files beside the prepared corpus, made when they are missing; in `folder` where that one cannot be written.
    """
    sets = corpus.training_sets
    guided = config.guided_alignment > 0
    files = [*dict.fromkeys(part.path for part in sets), *sorted(corpus.tokenizer_folder.iterdir())]
    files += dict.fromkeys(part.links for part in sets if guided and part.links.exists())
    drawn = any(part.weight % 1 for part in sets)  # the seed says which pairs come once more
    parts = [(part.path.name, part.direction, part.weight) for part in sets]
    key = key_of(files, _PAIRS_FORMAT, parts, guided, config.seed if drawn else None)
    store = (corpus.folder if os.access(corpus.folder, os.W_OK) else folder) / "pieces"
    cut = linked_rows if guided else _pairs
    rows = track(
        (row for part in sets for row in cut(part, tokenizer, config.seed)),
        f"cutting {corpus.folder} into pieces",
        round(sum(part.size * part.weight for part in sets)),
        console=Console(stderr=True),
        transient=True,
    )
    sources, targets, *links = ranks.first_then_others(lambda: stored_tables(store, key, rows, 2 + guided))
    batches = Batches(sources, targets, config.batch_pieces, config.max_pieces, *links)
    if not len(batches):
        raise TrainingError(f"{config.data} has no training pair of at most {config.max_pieces} pieces; see max_pieces")
    return batches


def _pairs(part: TrainingSet, tokenizer: Tokenizer, seed: int) -> Iterator[Sentences]:
    """Some lines at a time."""
    pairs = weighted(part.pairs(), part.weight, seed)
    while lines := list(islice(pairs, _LINES)):
        sources = tokenizer.source_ids([source for source, _ in lines], part.direction[1])
        yield from zip(sources, tokenizer.target_ids([target for _, target in lines]), strict=True)
