"""What to prepare: one or several corpora, each with its languages and its weight, for one model."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nmt.config import Config, read_toml
from nmt.text.tokenizer import TokenizerConfig
from training.corpus.cleaning import CleaningConfig
from training.corpus.readers import Format
from training.corpus.records import Direction

Directions = Literal["both", "forward", "backward"]

_MOST_CUT = 1000  # sentences, where nobody says how many


def _code(language: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise ValueError(f"{language!r} is no language code; write en, de, pt-BR")
    base, *rest = language.split("-")
    return "-".join([base.lower(), *(part.upper() if len(part) == 2 else part for part in rest)])


def _several(files: Any) -> Any:
    return (files,) if isinstance(files, str) else files


# A tag: it becomes a piece of the vocabulary and a part of file names.
Language = Annotated[str, AfterValidator(_code)]
Files = Annotated[tuple[str, ...], BeforeValidator(_several)]


class CorpusConfig(Config):
    """Files of one language pair. `dev` and `test` are files of the user; without them, sentences are split off."""

    files: Files = Field(min_length=1)
    source: Language
    target: Language
    name: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$", description="default: source-target")
    weight: float = Field(1.0, gt=0, le=1000, description="how often an epoch has each pair; 0.5 is a half of them")
    format: Format | None = None
    directions: Directions = "both"
    dev_size: int | None = Field(
        None, ge=0, description="sentences to split off, without dev; default: 1,000, or one for 20 pairs if fewer"
    )
    test_size: int | None = Field(None, ge=0, description="as dev_size, without test")
    dev: Files = ()
    test: Files = ()
    keep_out: Files = Field((), description="files whose sentences are not to be trained on, nor split off")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source}; they must be two languages")
        for part, files, size in (("dev", self.dev, self.dev_size), ("test", self.test, self.test_size)):
            if files and size:
                raise ValueError(
                    f"the {part} sentences are those of {', '.join(files)}, so {part}_size, which is {size:,}, has no "
                    "place beside them; leave one of the two out"
                )
        return self

    @property
    def title(self) -> str:
        """The name, or the languages where there is none."""
        return self.name or f"{self.source}-{self.target}"

    @property
    def train_file(self) -> str:
        """Its name in the folder."""
        return f"train.{self.title}.tsv"

    @property
    def forward(self) -> Direction:
        """From source to target: the order of the columns in corpus files."""
        return self.source, self.target

    @property
    def wanted(self) -> list[Direction]:
        """The directions to train."""
        backward = self.target, self.source
        return {"both": [self.forward, backward], "forward": [self.forward], "backward": [backward]}[self.directions]

    @property
    def is_split(self) -> bool:
        """Whether dev or test sentences are to be split off."""
        return any(self.cut_sizes(pairs=1))

    def cut_sizes(self, pairs: int) -> tuple[int, int]:
        """How many dev and test sentences are to be split off so many pairs."""
        default = min(_MOST_CUT, max(1, pairs // 20))
        dev, test = (default if size is None else size for size in (self.dev_size, self.test_size))
        return 0 if self.dev else dev, 0 if self.test else test


class PrepareConfig(Config):
    """Corpora that become one folder with one tokenizer."""

    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    cleaning: CleaningConfig = CleaningConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    tokenizer_from: Path | None = Field(None, description="a model folder whose pieces are taken, to fine-tune it")
    seed: int = 1

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.tokenizer_from and "tokenizer" in self.model_fields_set:
            raise ValueError(
                f"the tokenizer is that of {self.tokenizer_from}, so settings of a new one have no place beside it"
            )
        titles = [corpus.title for corpus in self.corpora]
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two corpora are called {twice}; give each a name of its own")
        if len(self.directions) > 1 and not self.tokenizer.joint:
            raise ValueError(
                f"the directions are {', '.join(map('-'.join, self.directions))}, where a side of the model sees "
                "several languages, so separate tokenizers have no use; make the tokenizer joint, or train one "
                "direction, forward or backward"
            )
        validated = {
            direction for corpus in self.corpora if corpus.dev or corpus.dev_size != 0 for direction in corpus.wanted
        }
        if bare := next((direction for direction in self.directions if direction not in validated), None):
            raise ValueError(f"no dev sentences for {'-'.join(bare)}: dev_size is 0; raise it, or name a file in dev")
        return self

    @property
    def directions(self) -> list[Direction]:
        """The directions of all corpora, each once."""
        return list(dict.fromkeys(direction for corpus in self.corpora for direction in corpus.wanted))


def read_corpora(path: Path) -> PrepareConfig:
    """Read a TOML file with a table `[[corpora]]` a corpus."""
    return PrepareConfig.read(read_toml(path, "the list of corpora"), where=str(path))
