"""The folder that `nmt prepare` makes and `nmt train` reads."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from nmt.config import Config
from nmt.errors import ConfigError, DataError
from training.corpus.records import Direction, TextPair
from training.corpus.splitting import References

FORMAT = 1
MANIFEST = "corpus.json"
"""Written last: a folder without it was not finished."""
TOKENIZER = "tokenizer"


class Files(Config):
    """Names in the folder; dev and test by direction, such as `en-de`."""

    train: str = "train.tsv"
    dev: dict[str, str]
    test: dict[str, str]


class Counts(Config):
    """Pairs that cleaning saw, dropped, and left to train on; sources in dev and test by direction."""

    total: int
    dropped: int
    train: int
    dev: dict[str, int]
    test: dict[str, int]


class Manifest(Config):
    """What corpus.json says. `directions` is never empty; `train` has `source` in its first column whatever they are.

    `sources` are the files that the corpus came from.
    """

    format: Literal[1] = 1
    source: str
    target: str
    directions: tuple[Direction, ...]
    files: Files
    counts: Counts
    tokenizer: str = TOKENIZER
    sources: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class PreparedCorpus:
    """A finished folder of training data."""

    folder: Path
    manifest: Manifest

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and check a folder. Raises `DataError` if it is unfinished, of another format or lacks a file."""
        path = folder / MANIFEST
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(f"{folder} holds no finished corpus ({MANIFEST} is missing); run nmt prepare") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}; run nmt prepare again") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            given = values.get("format") if isinstance(values, dict) else values
            raise DataError(f"{path} is of format {given!r}; this version reads format {FORMAT}; run nmt prepare again")
        try:
            corpus = cls(folder, Manifest.read(values, where=str(path)))
        except ConfigError as error:
            raise DataError(f"{error}; run nmt prepare again") from error
        corpus._check_files()
        return corpus

    @property
    def directions(self) -> list[Direction]:
        """Source and target language of each direction to train."""
        return list(self.manifest.directions)

    @property
    def languages(self) -> Direction:
        """The language of each side of `train_pairs`."""
        return self.manifest.source, self.manifest.target

    @property
    def tokenizer_folder(self) -> Path:
        """What `Tokenizer.load` takes."""
        return self.folder / self.manifest.tokenizer

    def train_pairs(self) -> Iterator[TextPair]:
        """The training set, in the order of the corpus; the sides are in the order of `languages`."""
        for source, target, *_ in _rows(self.folder / self.manifest.files.train):
            yield source, target

    def dev(self, direction: Direction) -> References:
        """Sources and their references. Raises `DataError` if this direction was not prepared."""
        return self._held_out(self.manifest.files.dev, direction)

    def test(self, direction: Direction) -> References:
        """As `dev`; empty if the corpus was prepared without a test set."""
        return self._held_out(self.manifest.files.test, direction) if self.manifest.files.test else []

    def _held_out(self, names: dict[str, str], direction: Direction) -> References:
        name = "-".join(direction)
        if name not in names:
            raise DataError(f"{self.folder} has no direction {name}; it has {', '.join(names)}")
        return [(source, references) for source, *references in _rows(self.folder / names[name])]

    def _check_files(self) -> None:
        files = self.manifest.files
        for name in (files.train, *files.dev.values(), *files.test.values(), self.manifest.tokenizer):
            if not (self.folder / name).exists():
                raise DataError(f"{self.folder / name} is missing; run nmt prepare again")


def write_rows(path: Path, rows: Iterable[Iterable[str]]) -> None:
    """Write a TSV file; the texts hold neither tabs nor line breaks, as the cleaner leaves them."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def write_manifest(folder: Path, manifest: Manifest) -> PreparedCorpus:
    """Declare the folder finished."""
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST)
    return PreparedCorpus(folder, manifest)


def _rows(path: Path) -> Iterator[list[str]]:
    """The columns of each line, at least two."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                columns = line.rstrip("\n").split("\t")
                if len(columns) < 2:
                    raise DataError(f"{path}, line {number:,} has no tab; the file was altered, run nmt prepare again")
                yield columns
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}; run nmt prepare again") from error
