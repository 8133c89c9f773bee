"""What a run is begun with and must go on with: else its card would not tell the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nmt.config import ModelConfig
from nmt.errors import TrainingError
from nmt.package import ModelFolder
from training.config import TrainingConfig, Validation
from training.corpus.prepared import PreparedCorpus
from training.disk import key_of


class Given(NamedTuple):
    """Something that was given to a run: what is compared, and what is said of it."""

    value: str
    text: str


Identity = Mapping[str, Given]
"""By the name that the recipe has for it."""


def identity(corpus: PreparedCorpus, config: TrainingConfig, model: ModelConfig, base: ModelFolder | None) -> Identity:
    """Texts and pieces of the corpus, wherever it is; seed; the network's shape; the model that is fine-tuned; and what
    the scores are that checkpoints are compared by."""
    manifest, where = corpus.manifest, corpus.folder
    held_out = [*manifest.dev.items(), *manifest.test.items()]
    files = [*(entry.train.file for entry in manifest.corpora), *(part.file for _, part in held_out)]
    read = [(entry.source, entry.directions, entry.weight) for entry in manifest.corpora]
    texts = key_of([where / file for file in files], read, [direction for direction, _ in held_out])
    pieces = key_of(sorted(corpus.tokenizer_folder.iterdir()))
    weights = key_of([base.path / "model.safetensors"] if base else [])
    return {
        "data": Given(texts, f"{where} (texts {texts[:8]})"),
        "tokenizer": Given(pieces, f"{corpus.tokenizer_folder} (files {pieces[:8]})"),
        "seed": Given(str(config.seed), str(config.seed)),
        "fine_tune.model": Given(weights, f"{base.path} (weights {weights[:8]})" if base else "none"),
        **{f"validation.{name}": Given(own, own) for name, own in _scoring(config.validation)},
        **{f"model.{name}": Given(str(value), str(value)) for name, value in shape(model).items()},
    }


def shape(model: ModelConfig) -> dict[str, object]:
    """The settings that weights are made for: all but dropout, and the vocabularies, which the tokenizer decides."""
    settings = model.model_dump().items()
    return {name: value for name, value in settings if not name.endswith(("_dropout", "_vocabulary"))}


def _scoring(validation: Validation) -> list[tuple[str, str]]:
    """The settings without which two scores are not of one kind."""
    return [(name, str(getattr(validation, name))) for name in ("metric", "tokenize", "sentences")]


def check_identity(folder: Path, begun: Identity, now: Identity) -> None:
    """Raises `TrainingError` if a run was begun with something else; what it did not note down is not compared."""
    changed = [
        f"{name} was {begun[name].text} and is now {given.text}"
        for name, given in now.items()
        if name in begun and begun[name].value != given.value
    ]
    if changed:
        raise TrainingError(
            f"the run in {folder} cannot go on: {'; '.join(changed)}. Give it what it was begun with, or choose "
            "another --output"
        )
