"""`nmt prepare`: from parallel text to a folder that `nmt train` takes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import typer
from pydantic import Field, model_validator
from rich.console import Console

from nmt.config import Config
from nmt.errors import DataError
from nmt.text.normalize import Form
from nmt.text.tokenizer import TokenizerConfig, train_tokenizer
from training.corpus.cleaning import Cleaner, CleaningConfig, CleaningReport
from training.corpus.held_out import PairsByDirection, read_held_out, unreversed
from training.corpus.prepared import (
    MANIFEST,
    TOKENIZER,
    Counts,
    Files,
    Manifest,
    PreparedCorpus,
    write_manifest,
    write_rows,
)
from training.corpus.readers import Format, locate, read
from training.corpus.records import Direction, TextPair
from training.corpus.splitting import Sentences, collect_references, split

Directions = Literal["both", "forward", "backward"]
Tell = Callable[[str], None]
Part = Literal["dev", "test"]

# A tag: it becomes a piece of the vocabulary and a part of file names.
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class PrepareConfig(Config):
    """What to make of which files. `dev` and `test` are files of the user; without them, the corpus is split."""

    corpora: tuple[str, ...] = Field(min_length=1)
    source: Language
    target: Language
    output: Path
    format: Format | None = None
    directions: Directions = "both"
    dev_size: int = Field(1000, ge=1)
    test_size: int = Field(1000, ge=0)
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    cleaning: CleaningConfig = CleaningConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    seed: int = 1

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source}; they must be two languages")
        if self.directions == "both" and not self.tokenizer.joint:
            raise ValueError(
                "directions is both, where each side of the model reads and writes both languages, so separate "
                "tokenizers have no use; make the tokenizer joint, or choose the direction forward or backward"
            )
        return self

    @property
    def forward(self) -> Direction:
        """From source to target: the order of the columns in corpus files."""
        return self.source, self.target

    @property
    def wanted(self) -> list[Direction]:
        """The directions to train."""
        backward = self.target, self.source
        return {"both": [self.forward, backward], "forward": [self.forward], "backward": [backward]}[self.directions]


@dataclass(frozen=True, slots=True)
class _Sets:
    """What goes into the files; the sides of `train` are source and target, those of the others as their direction."""

    train: list[TextPair]
    held_out: dict[Part, PairsByDirection]
    reports: dict[str, CleaningReport]


def prepare_corpus(config: PrepareConfig, tell: Tell = lambda _: None) -> PreparedCorpus:
    """Read, clean, split, learn a tokenizer and write it all to `config.output`; `tell` hears of the progress.

    Raises `DataError` if a file cannot be read, if there is too little text, or if the folder holds a finished corpus.
    """
    if (config.output / MANIFEST).exists():
        # A run that trains on it would silently go on with other data.
        raise DataError(f"{config.output} holds a finished corpus; remove it or choose another output folder")
    try:
        config.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {config.output} cannot be made: {error.strerror}") from error
    sets = _collect(config, tell)
    counts, files = _write(config, sets)
    tell(f"learning the tokenizer ({config.tokenizer.algorithm}, {config.tokenizer.vocabulary_size:,} pieces)")
    _make_tokenizer(config, config.output / TOKENIZER, sets.train)
    manifest = Manifest(
        source=config.source,
        target=config.target,
        directions=tuple(config.wanted),
        files=files,
        counts=counts,
        sources=config.corpora,
        seed=config.seed,
    )
    return write_manifest(config.output, manifest)


def _collect(config: PrepareConfig, tell: Tell) -> _Sets:
    """All pairs, cleaned and in their sets."""
    locations = [locate(corpus, config.format) for corpus in config.corpora]
    given: dict[Part, Sequence[str]] = {"dev": config.dev, "test": config.test}
    held_out: dict[Part, PairsByDirection] = {}
    reports: dict[str, CleaningReport] = {}
    for part, files in given.items():
        if files:
            tell(f"reading {', '.join(files)} for {part}")
            held_out[part], reports[part] = read_held_out(
                files, config.wanted, config.forward, config.format, config.tokenizer.normalization
            )
    fixed = Sentences(pair for own in held_out.values() for pair in unreversed(own, config.forward))
    cleaner = Cleaner(config.cleaning, config.tokenizer.normalization, fixed)
    pairs: list[TextPair] = []
    for location in locations:
        tell(f"reading {location} ({location.format})")
        pairs += cleaner.clean(read(location, config.forward))
    reports["corpus"] = cleaner.report()
    tell(f"\n{reports['corpus'].table()}\n")
    return _split(config, pairs, held_out, reports)


def _split(
    config: PrepareConfig,
    pairs: list[TextPair],
    held_out: dict[Part, PairsByDirection],
    reports: dict[str, CleaningReport],
) -> _Sets:
    """Cut those held-out sets off the corpus that the user did not bring."""
    if not pairs:
        raise DataError(f"no pair of {', '.join(config.corpora)} is left to train on\n{reports['corpus'].text()}")
    dev_size, test_size = 0 if config.dev else config.dev_size, 0 if config.test else config.test_size
    parts = split(pairs, dev_size, test_size, config.seed)
    cut: dict[Part, list[TextPair]] = {"dev": parts.dev, "test": parts.test}
    for part, own in cut.items():
        if own:
            reverse = [(target, source) for source, target in own]
            held_out[part] = {d: own if d == config.forward else reverse for d in config.wanted}
    return _Sets(parts.train, held_out, reports)


def _write(config: PrepareConfig, sets: _Sets) -> tuple[Counts, Files]:
    """All files but the tokenizer and the manifest."""
    folder = config.output
    dev, dev_counts = _write_held_out(folder, "dev", sets.held_out)
    test, test_counts = _write_held_out(folder, "test", sets.held_out)
    files = Files(dev=dev, test=test)
    write_rows(folder / files.train, sets.train)
    reports = {name: report.model_dump(mode="json") for name, report in sets.reports.items()}
    text = "\n".join(f"== {name}\n{report.text()}" for name, report in sets.reports.items())
    (folder / "report.json").write_text(json.dumps(reports, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.txt").write_text(text, encoding="utf-8")
    corpus = sets.reports["corpus"]
    dropped = corpus.total - corpus.kept
    return Counts(total=corpus.total, dropped=dropped, train=len(sets.train), dev=dev_counts, test=test_counts), files


def _write_held_out(
    folder: Path, part: Part, held_out: dict[Part, PairsByDirection]
) -> tuple[dict[str, str], dict[str, int]]:
    """Names and sizes of the files of this part by direction; empty if there is no such part."""
    names, sizes = {}, {}
    for direction, pairs in held_out.get(part, {}).items():
        label = "-".join(direction)
        rows = collect_references(pairs)
        names[label], sizes[label] = f"{part}.{label}.tsv", len(rows)
        write_rows(folder / names[label], ([source, *references] for source, references in rows))
    return names, sizes


def _make_tokenizer(config: PrepareConfig, folder: Path, train: Sequence[TextPair]) -> None:
    """Learn from the training set alone; with one direction, `source` is the side that the model reads."""
    sides = {config.source: [source for source, _ in train], config.target: [target for _, target in train]}
    read_side, written_side = config.wanted[0]
    targets = [target for _, target in config.wanted]
    train_tokenizer(sides[read_side], sides[written_side], targets, config.tokenizer).save(folder)


Corpora = Annotated[
    list[str], typer.Argument(help="Files such as x.tsv, x.jsonl.gz or x.en,x.de (two that belong together).")
]
HeldOutFiles = list[str] | None


def prepare(
    corpora: Corpora,
    source: Annotated[str, typer.Option(help="Language of the first column or file, such as en.")],
    target: Annotated[str, typer.Option(help="Language of the second one.")],
    output: Annotated[Path, typer.Option(help="Folder to make.")],
    format_: Annotated[Format | None, typer.Option("--format", help="Of all files; default: by their names.")] = None,
    directions: Annotated[Directions, typer.Option(help="forward is from --source to --target.")] = "both",
    dev_size: Annotated[int, typer.Option(help="Sentences to hold out for validation, without --dev.")] = 1000,
    test_size: Annotated[int, typer.Option(help="Sentences to hold out for the test, without --test.")] = 1000,
    dev: Annotated[HeldOutFiles, typer.Option(metavar="FILE", help="Your own, or en-de=FILE; repeatable.")] = None,
    test: Annotated[HeldOutFiles, typer.Option(metavar="FILE", help="Your own, as --dev.")] = None,
    vocabulary_size: Annotated[int, typer.Option(help="Pieces a vocabulary.")] = 8000,
    algorithm: Annotated[Literal["unigram", "bpe", "char"], typer.Option(help="How to cut words.")] = "unigram",
    separate_tokenizers: Annotated[
        bool, typer.Option("--separate-tokenizers", help="One vocabulary a side; for one direction only.")
    ] = False,
    normalization: Annotated[Form, typer.Option(help="Unicode form of what the model sees.")] = "nfc",
    max_characters: Annotated[int, typer.Option(help="Drop pairs with a longer side.")] = 500,
    max_ratio: Annotated[float, typer.Option(help="Drop pairs with one side longer by this factor.")] = 3.0,
    keep_identical: Annotated[bool, typer.Option("--keep-identical", help="Pairs that are the same twice.")] = False,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Pairs that were seen before.")] = False,
    seed: Annotated[int, typer.Option(help="Decides which sentences are held out.")] = 1,
) -> None:
    """Clean parallel text, hold out dev and test sentences, learn a tokenizer: all that `nmt train` needs."""
    values = {
        "corpora": corpora,
        "source": source,
        "target": target,
        "output": output,
        "format": format_,
        "directions": directions,
        "dev_size": dev_size,
        "test_size": test_size,
        "dev": dev or (),
        "test": test or (),
        "tokenizer": {
            "algorithm": algorithm,
            "vocabulary_size": vocabulary_size,
            "joint": not separate_tokenizers,
            "normalization": normalization,
        },
        "cleaning": {
            "max_characters": max_characters,
            "max_ratio": max_ratio,
            "drop_identical": not keep_identical,
            "drop_duplicates": not keep_duplicates,
        },
        "seed": seed,
    }
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    corpus = prepare_corpus(PrepareConfig.read(values, where="options"), console.print)
    console.print(_summary(corpus))


def _summary(corpus: PreparedCorpus) -> str:
    """The sizes, where the result is, and what to do next."""
    counts = corpus.manifest.counts
    lines = [f"\n{'train':<14}{counts.train:>9,} pairs"]
    for part, sizes in (("dev", counts.dev), ("test", counts.test)):
        lines += [f"{part + ' ' + direction:<14}{size:>9,} sentences" for direction, size in sizes.items()]
    lines += [
        f"\nthe corpus is in {corpus.folder}; examples of what was dropped: {corpus.folder / 'report.txt'}",
        f'train on it:  set data = "{corpus.folder}" in a recipe, then nmt train RECIPE --output RUN_FOLDER',
    ]
    return "\n".join(lines)
