"""`nmt prepare`: from the files that people have to a folder that `nmt train` reads."""

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from rich.console import Console

from nmt.config import Config
from nmt.errors import ConfigError, DataError
from nmt.text.normalize import normalize
from nmt.text.tokenizer import TokenizerConfig, train_tokenizer
from training.corpus.cleaning import CleaningConfig, CleaningReport, clean
from training.corpus.prepared import INDEX, Direction, PreparedCorpus
from training.corpus.readers import CorpusFormat, Entry, read_corpus
from training.corpus.splitting import Pair, split, with_references, without

TestSet = list[tuple[str, list[str]]]


class Directions(StrEnum):
    """Which ways the model will translate."""

    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"


class PrepareConfig(Config):
    """What to read, how to clean and split it, and how to cut it into pieces.

    `dev` and `test` are files of the user's own, `FILE` or `en-de=FILE`; without them the corpus is split.
    """

    corpora: list[str] = Field(min_length=1)
    source: str
    target: str
    output: Path
    form: CorpusFormat | None = None
    directions: Directions = Directions.BOTH
    dev: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)
    dev_size: int = Field(1000, ge=1)
    test_size: int = Field(1000, ge=0)
    seed: int = 1
    cleaning: CleaningConfig = CleaningConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()

    @property
    def direction_pairs(self) -> list[Direction]:
        """The directions as pairs of languages."""
        forward, backward = (self.source, self.target), (self.target, self.source)
        return {"both": [forward, backward], "forward": [forward], "backward": [backward]}[self.directions]


def prepare_corpus(config: PrepareConfig) -> tuple[PreparedCorpus, CleaningReport]:
    """Read, clean, split, train the tokenizer, write the folder; its index comes last."""
    if config.source == config.target:
        raise ConfigError(f"source and target are both {config.source!r}; they must differ")
    if len(config.direction_pairs) > 1 and not config.tokenizer.joint:
        raise ConfigError("a model for both directions needs one joint tokenizer; choose one direction, or joint")
    report = CleaningReport()
    entries = chain.from_iterable(
        read_corpus(path, config.source, config.target, config.form) for path in config.corpora
    )
    pairs = list(clean(entries, config.cleaning, report))
    train, dev, test = _split(config, pairs, report)
    if not train:
        raise DataError(f"nothing is left to train on: {report.as_text()}")
    return _write(config, train, {"dev": dev, "test": test}, report), report


def _split(
    config: PrepareConfig, pairs: list[Pair], report: CleaningReport
) -> tuple[list[Pair], dict[Direction, TestSet], dict[Direction, TestSet]]:
    """Training pairs, and by direction the dev and the test set: the user's, or split off."""
    dev, test = (_own_sets(config, files) for files in (config.dev, config.test))
    held_out = [text for sets in (dev, test) for rows in sets.values() for text in _texts(rows)]
    train, leaked = without(pairs, held_out)
    for source, target in leaked:
        report.drop(Entry("", 0, source, (target,)), "in the dev or test set")
    report.kept -= len(leaked)
    sizes = [0 if dev else config.dev_size, 0 if test or dev else config.test_size]
    train, split_dev, split_test = split(train, sizes, config.seed)
    if not dev and not split_dev:
        raise DataError(
            f"{len(train)} pairs are too few, or too entangled, to split {config.dev_size} off as a dev set; "
            f"lower --dev-size, or bring a dev set with --dev"
        )
    return train, dev or _both_ways(config, split_dev), test or _both_ways(config, split_test)


def _own_sets(config: PrepareConfig, files: Sequence[str]) -> dict[Direction, TestSet]:
    """The user's test sets by direction; a file without a direction serves forwards, and turned around backwards."""
    sets: dict[Direction, TestSet] = {}
    for given in files:
        name, equals, path = given.rpartition("=")
        if not equals:
            pairs = [(row[0], text) for row in _read_rows(path, config) for text in row[1]]
            sets |= {d: rows for d, rows in _both_ways(config, pairs).items() if d not in sets}
            continue
        direction = next((pair for pair in config.direction_pairs if "-".join(pair) == name), None)
        if direction is None:
            wanted = ", ".join("-".join(pair) for pair in config.direction_pairs)
            raise ConfigError(f"{given}: {name!r} is not a direction of this model; wanted {wanted}")
        sets[direction] = _read_rows(path, config, direction)
    missing = [pair for pair in config.direction_pairs if pair not in sets]
    if sets and missing:
        raise ConfigError(f"there is no file for {'-'.join(missing[0])} beside {', '.join(files)}; bring one each")
    return sets


def _read_rows(path: str, config: PrepareConfig, direction: Direction | None = None) -> TestSet:
    """A test set's rows, normalized; here a bad line is an error, since a test set must be what it says."""
    source, target = direction or (config.source, config.target)
    rows = []
    for entry in read_corpus(path, source, target, config.form):
        texts = [normalize(text).text for text in (entry.source, *entry.targets)]
        if entry.problem or not all(texts):
            raise DataError(f"{entry.file}, line {entry.line}: {entry.problem or 'empty'}; a test set has no bad lines")
        rows.append((texts[0], texts[1:]))
    return rows


def _both_ways(config: PrepareConfig, pairs: Sequence[Pair]) -> dict[Direction, TestSet]:
    """A set for each direction of the model, equal sources joined."""
    ways = {(config.source, config.target): pairs, (config.target, config.source): [(t, s) for s, t in pairs]}
    return {pair: with_references(ways[pair]) for pair in config.direction_pairs} if pairs else {}


def _write(
    config: PrepareConfig, train: list[Pair], sets: dict[str, dict[Direction, TestSet]], report: CleaningReport
) -> PreparedCorpus:
    folder = config.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    _write_rows(folder / "train.tsv", train)
    names: dict[str, dict[str, str]] = {"dev": {}, "test": {}}
    counts = {"train": len(train)}
    for part, by_direction in sets.items():
        for direction, rows in by_direction.items():
            name = "-".join(direction)
            names[part][name] = f"{part}.{name}.tsv"
            counts[f"{part}.{name}"] = len(rows)
            _write_rows(folder / names[part][name], ((text, *references) for text, references in rows))
    sides = [[pair[0] for pair in train], [pair[1] for pair in train]]
    first = config.direction_pairs[0]
    sources, targets = sides if first == (config.source, config.target) else sides[::-1]
    wanted = {pair[1] for pair in config.direction_pairs}
    languages = [language for language in (config.source, config.target) if language in wanted]
    train_tokenizer(sources, targets, languages, config.tokenizer).save(folder / "tokenizer")
    (folder / "report.json").write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    (folder / "report.txt").write_text(report.as_text() + "\n", encoding="utf-8")
    corpus = PreparedCorpus(
        source=config.source,
        target=config.target,
        directions=config.direction_pairs,
        train="train.tsv",
        dev_sets=names["dev"],
        test_sets=names["test"],
        tokenizer="tokenizer",
        counts=counts,
        settings=config.model_dump(mode="json", exclude={"output"}),
        folder=folder,
    )
    (folder / INDEX).write_text(corpus.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return corpus


def _write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def _texts(rows: TestSet) -> Iterator[str]:
    for source, references in rows:
        yield source
        yield from references


def prepare(
    corpora: Annotated[list[str], typer.Argument(help="x.tsv, x.jsonl or the pair x.en,x.de; also .gz, .xz.")],
    source: Annotated[str, typer.Option(help="Language of the first column, such as en.")],
    target: Annotated[str, typer.Option(help="Language of the second.")],
    output: Annotated[Path, typer.Option(help="Folder to make.")],
    form: Annotated[str | None, typer.Option("--format", help="moses, tsv or jsonl, if the names do not say.")] = None,
    directions: Annotated[Directions, typer.Option()] = Directions.BOTH,
    dev: Annotated[list[str] | None, typer.Option(help="Your own dev set: FILE, or en-de=FILE a direction.")] = None,
    test: Annotated[list[str] | None, typer.Option(help="Your own test set, likewise.")] = None,
    dev_size: Annotated[int, typer.Option(help="Pairs to split off.")] = 1000,
    test_size: Annotated[int, typer.Option(help="Pairs to split off.")] = 1000,
    vocabulary_size: Annotated[int, typer.Option(help="Pieces.")] = 8000,
    algorithm: Annotated[str, typer.Option(help="unigram, bpe or char.")] = "unigram",
    separate_tokenizers: Annotated[bool, typer.Option(help="A vocabulary a side; for one direction.")] = False,
    normalization: Annotated[str, typer.Option(help="nfc, nfkc or none.")] = "nfc",
    max_characters: Annotated[int, typer.Option(help="Longer pairs are dropped.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Read parallel text, clean it, split it without leaking, and train the tokenizer."""
    values = {
        "corpora": corpora,
        "source": source,
        "target": target,
        "output": output,
        "form": form,
        "directions": directions,
        "dev": dev or [],
        "test": test or [],
        "dev_size": dev_size,
        "test_size": test_size,
        "seed": seed,
        "cleaning": {"max_characters": max_characters},
        "tokenizer": {
            "vocabulary_size": vocabulary_size,
            "algorithm": algorithm,
            "joint": not separate_tokenizers,
            "normalization": normalization,
        },
    }
    corpus, report = prepare_corpus(PrepareConfig.read(values, where="options"))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(report.as_text(), markup=False)
    console.print(", ".join(f"{part} {count:,}" for part, count in corpus.counts.items()))
    console.print(f"prepared in {output}; next:  nmt train RECIPE.toml --output DIR --set data={output}", markup=False)
