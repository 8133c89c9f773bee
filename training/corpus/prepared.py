"""The folder that `nmt prepare` makes and `nmt train` reads."""

import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from nmt.config import Config
from nmt.errors import ConfigError, DataError
from training.corpus.records import Direction, TextPair
from training.corpus.splitting import References
from training.disk import replacing

FORMAT = 2
MANIFEST = "corpus.json"
"""Written last: a folder without it was not finished."""
TOKENIZER = "tokenizer"

T = TypeVar("T")


class Part(Config):
    """A file of the folder and how many pairs, or sources with their references, it has."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class PairFile:
    """Pairs on the disk, read anew each time: their number does not matter to the memory."""

    path: Path
    size: int

    @classmethod
    def write(cls, path: Path, pairs: Iterable[TextPair]) -> Self:
        """Raises `OSError` as the system does. `pairs` may come from the file that is replaced."""
        return cls(path, write_rows(path, pairs))

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[TextPair]:
        return ((source, target) for source, target, *_ in _rows(self.path))


class CorpusEntry(Config):
    """One corpus of the folder. The first column of `train` is in `source`, whatever `directions` are trained.

    `total` pairs were read from `files`, and `dropped` of them by cleaning.
    """

    name: str
    source: str
    target: str
    directions: tuple[Direction, ...]
    weight: float
    train: Part
    files: tuple[str, ...]
    total: int
    dropped: int


class Manifest(Config):
    """What corpus.json says; `dev` and `test` by direction, such as `en-de`."""

    format: Literal[2] = 2
    corpora: tuple[CorpusEntry, ...]
    dev: dict[str, Part]
    test: dict[str, Part]
    tokenizer: str = TOKENIZER
    seed: int


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The training pairs of one corpus, read in one direction. An epoch has each of them `weight` times on average."""

    direction: Direction
    weight: float
    size: int
    path: Path
    backward: bool

    @property
    def links(self) -> Path:
        """Where the links of its words are if there are any: a line a pair, in the order of the file's columns."""
        return self.path.with_name(self.path.name.replace("train.", "links.", 1)).with_suffix(".txt")

    def pairs(self) -> Iterator[TextPair]:
        """Each pair once, as source and target of `direction`, in the order of the corpus, from the disk."""
        for one, other in PairFile(self.path, self.size):
            yield (other, one) if self.backward else (one, other)


@dataclass(frozen=True, slots=True)
class PreparedCorpus:
    """A finished folder of training data."""

    folder: Path
    manifest: Manifest

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and check a folder. Raises `DataError` if it is unfinished, of another format or lacks a file."""
        path = folder / MANIFEST
        if folder.is_file():
            raise DataError(f"{folder} is a file; run nmt prepare on it and give the folder that it makes")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(f"{folder} holds no finished corpus ({MANIFEST} is missing); run nmt prepare") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}; run nmt prepare again") from error
        given = values.get("format") if isinstance(values, dict) else values
        if given not in (1, FORMAT):
            raise DataError(f"{path} is of format {given!r}; this version reads format {FORMAT}; run nmt prepare again")
        try:
            corpus = cls(folder, Manifest.read(_from_format_1(values) if given == 1 else values, where=str(path)))
        except (ConfigError, KeyError) as error:
            raise DataError(f"{error}; run nmt prepare again") from error
        corpus._check_files()
        return corpus

    @property
    def directions(self) -> list[Direction]:
        """Source and target language of each direction to train, each once."""
        return list(dict.fromkeys(direction for entry in self.manifest.corpora for direction in entry.directions))

    @property
    def training_sets(self) -> list[TrainingSet]:
        """One a corpus and direction: two corpora of the same languages give two sets for each direction."""
        return [
            TrainingSet(direction, entry.weight, entry.train.size, self.folder / entry.train.file, backward)
            for entry in self.manifest.corpora
            for direction in entry.directions
            for backward in [direction != (entry.source, entry.target)]
        ]

    @property
    def tokenizer_folder(self) -> Path:
        """What `Tokenizer.load` takes."""
        return self.folder / self.manifest.tokenizer

    def dev(self, direction: Direction) -> References:
        """Sources and their references. Raises `DataError` if this direction was not prepared."""
        return self._held_out(self.manifest.dev, direction)

    def test(self, direction: Direction) -> References:
        """As `dev`; empty if the direction was prepared without a test set."""
        return self._held_out(self.manifest.test, direction)

    def _held_out(self, parts: dict[str, Part], direction: Direction) -> References:
        name = "-".join(direction)
        if direction not in self.directions:
            known = ", ".join(map("-".join, self.directions))
            raise DataError(f"{self.folder} has no direction {name}; it has {known}")
        rows = _rows(self.folder / parts[name].file) if name in parts else ()
        return [(source, references) for source, *references in rows]

    def _check_files(self) -> None:
        parts = [entry.train for entry in self.manifest.corpora]
        parts += [*self.manifest.dev.values(), *self.manifest.test.values()]
        for name in (*(part.file for part in parts), self.manifest.tokenizer):
            if not (self.folder / name).exists():
                raise DataError(f"{self.folder / name} is missing; run nmt prepare again")


def weighted(items: Iterable[T], weight: float, seed: int) -> Iterator[T]:
    """Each item as often as the whole part of the weight says, and for the rest of it some once more, evenly spread."""
    start = random.Random(seed).random()
    for number, item in enumerate(items):
        copies = math.floor((number + 1) * weight + start) - math.floor(number * weight + start)
        yield from itertools.repeat(item, copies)


def weighted_size(count: int, weight: float, seed: int) -> int:
    """How many items `weighted` makes of `count`."""
    return math.floor(count * weight + random.Random(seed).random())


def write_rows(path: Path, rows: Iterable[Iterable[str]]) -> int:
    """Replace a TSV file as a whole; the texts hold neither tabs nor line breaks, as the cleaner leaves them.

    Returns how many rows there were.
    """
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write("\t".join(row).encode() + b"\n")
            count += 1
    return count


def write_manifest(folder: Path, manifest: Manifest) -> PreparedCorpus:
    """Declare the folder finished."""
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST)
    return PreparedCorpus(folder, manifest)


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a folder that has one corpus, as version 0.1.0 wrote it."""
    files, counts = values["files"], values["counts"]
    corpus = {
        "name": f"{values['source']}-{values['target']}",
        "source": values["source"],
        "target": values["target"],
        "directions": values["directions"],
        "weight": 1.0,
        "train": {"file": files["train"], "size": counts["train"]},
        "files": values["sources"],
        "total": counts["total"],
        "dropped": counts["dropped"],
    }
    held_out = {
        part: {direction: {"file": file, "size": counts[part][direction]} for direction, file in files[part].items()}
        for part in ("dev", "test")
    }
    return {"corpora": [corpus], "tokenizer": values["tokenizer"], "seed": values["seed"], **held_out}


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
