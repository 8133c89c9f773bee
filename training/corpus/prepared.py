"""The folder that `nmt prepare` makes and `nmt train` reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from nmt.config import Config
from nmt.errors import ConfigError, DataError

FORMAT = 1
INDEX = "corpus.json"
Direction = tuple[str, str]


class PreparedCorpus(Config):
    """`corpus.json`, written last: a folder without it is not finished. File names are relative to the folder.

    `train` holds `source TAB target`; `dev` and `test`, by direction such as `en-de`, `source TAB reference …`.
    """

    format: int = FORMAT
    source: str
    target: str
    directions: list[Direction] = Field(min_length=1)
    train: str
    dev_sets: dict[str, str]
    test_sets: dict[str, str] = Field(default_factory=dict)
    tokenizer: str
    counts: dict[str, int] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    folder: Path = Field(Path(), exclude=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the index. Raises `DataError` with what to do."""
        try:
            corpus = cls.model_validate_json((folder / INDEX).read_bytes())
        except FileNotFoundError as error:
            raise DataError(
                f"{folder} is no prepared corpus: it has no {INDEX}; make one with `nmt prepare`"
            ) from error
        except (OSError, ValueError, ConfigError) as error:
            raise DataError(f"{folder / INDEX} cannot be used: {error}; run `nmt prepare` again") from error
        if corpus.format != FORMAT:
            raise DataError(f"{folder} has format {corpus.format}, wanted {FORMAT}; run `nmt prepare` again")
        return corpus.model_copy(update={"folder": folder})

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer is."""
        return self.folder / self.tokenizer

    def train_pairs(self) -> Iterator[tuple[str, str]]:
        """Source and target of each training pair."""
        for row in self._rows(self.train):
            yield row[0], row[1]

    def dev(self, direction: Direction) -> list[tuple[str, list[str]]]:
        """Sources with their references."""
        return [(row[0], row[1:]) for row in self._rows(self.dev_sets["-".join(direction)])]

    def test(self, direction: Direction) -> list[tuple[str, list[str]]]:
        """Sources with their references; empty where there is no test set."""
        name = self.test_sets.get("-".join(direction))
        return [(row[0], row[1:]) for row in self._rows(name)] if name else []

    def _rows(self, name: str) -> Iterator[list[str]]:
        try:
            with (self.folder / name).open(encoding="utf-8") as file:
                for line in file:
                    yield line.rstrip("\n").split("\t")
        except OSError as error:
            raise DataError(
                f"{self.folder / name} cannot be read: {error.strerror}; run `nmt prepare` again"
            ) from error
