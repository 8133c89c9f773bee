"""`nmt prepare`: from parallel text to a folder that `nmt train` takes."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nmt.errors import ConfigError, DataError
from nmt.text.normalize import Form
from training.corpus.config import CorpusConfig, Directions, PrepareConfig, read_corpora
from training.corpus.files import is_file
from training.corpus.held_out import PairsByDirection
from training.corpus.prepared import (
    MANIFEST,
    TOKENIZER,
    CorpusEntry,
    Manifest,
    Part,
    PreparedCorpus,
    write_manifest,
    write_rows,
)
from training.corpus.readers import Format
from training.corpus.sets import Sets, Tell, collect
from training.corpus.splitting import collect_references
from training.corpus.vocabulary import learn_tokenizer, reused_tokenizer
from training.disk import locked, writes_explained
from training.messages import messages


def prepare_corpus(config: PrepareConfig, output: Path, tell: Tell = lambda _: None) -> PreparedCorpus:
    """Read, clean, split, learn a tokenizer and write it all to the folder `output`; `tell` hears of the progress.

    Raises `DataError` if a file cannot be read, if there is too little text, or if the folder holds a finished corpus;
    `SaveError` if it cannot be written.
    """
    if (output / MANIFEST).exists():
        # A run that trains on it would silently go on with other data.
        raise DataError(f"{output} holds a finished corpus; remove it or choose another output folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {output} cannot be made: {error.strerror}") from error
    _check_apart(config, output)
    reused = reused_tokenizer(config)
    if reused:
        changes = {"tokenizer": reused.config.model_dump(), "tokenizer_from": None}
        config = PrepareConfig.read({**config.model_dump(), **changes}, where=str(config.tokenizer_from))
    with writes_explained(output), locked(output):
        sets = collect(config, output, tell)
        manifest = Manifest(
            corpora=tuple(_entry(corpus, sets) for corpus in config.corpora),
            dev=_write_held_out(output, "dev", sets.held_out["dev"]),
            test=_write_held_out(output, "test", sets.held_out["test"]),
            seed=config.seed,
        )
        _write_reports(output, sets)
        tokenizer = reused or learn_tokenizer(config, sets, tell)
        tokenizer.save(output / TOKENIZER)
        return write_manifest(output, manifest)


def _check_apart(config: PrepareConfig, folder: Path) -> None:
    """Refuse to write over what is to be read."""
    names = [f"{part}.{'-'.join(direction)}.tsv" for part in ("dev", "test") for direction in config.directions]
    names += [*(corpus.train_file for corpus in config.corpora), *_REPORTS]
    written = {os.path.realpath(folder / name) for name in names}
    for corpus in config.corpora:
        for file in (*corpus.files, *corpus.dev, *corpus.test, *corpus.keep_out):
            for name in (file, file.partition("=")[2], *file.split(",")):
                if is_file(Path(name)) and os.path.realpath(name) in written:
                    raise DataError(f"{name} would be written over; choose another output folder than {folder}")


def _entry(corpus: CorpusConfig, sets: Sets) -> CorpusEntry:
    report = sets.reports[corpus.title]
    return CorpusEntry(
        name=corpus.title,
        source=corpus.source,
        target=corpus.target,
        directions=tuple(corpus.wanted),
        weight=corpus.weight,
        train=Part(file=corpus.train_file, size=len(sets.train[corpus.title])),
        files=corpus.files,
        total=report.total,
        dropped=report.total - report.kept,
    )


def _write_held_out(folder: Path, name: str, held_out: PairsByDirection) -> dict[str, Part]:
    """The files of this part by direction; empty if there is no such part."""
    parts = {}
    for direction, pairs in held_out.items():
        label = "-".join(direction)
        rows = collect_references(pairs)
        parts[label] = Part(file=f"{name}.{label}.tsv", size=len(rows))
        write_rows(folder / parts[label].file, ([source, *references] for source, references in rows))
    return parts


def _write_reports(folder: Path, sets: Sets) -> None:
    report = {
        "corpora": {name: report.model_dump(mode="json") for name, report in sets.reports.items()},
        "findings": [finding.model_dump(mode="json") for finding in sets.findings],
    }
    parts = [f"== {name}\n{report.text()}" for name, report in sets.reports.items()]
    parts.append("== what is left\n" + "\n".join(finding.text() for finding in sets.findings))
    as_json, as_text = (folder / name for name in _REPORTS)
    as_json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    as_text.write_text("\n".join(parts), encoding="utf-8")


Corpora = Annotated[
    list[str],
    typer.Argument(
        help="Files of one corpus, such as x.tsv, x.jsonl.gz or x.en,x.de (two that belong together); "
        "or one x.toml that lists several corpora and their settings, with --output as the only option."
    ),
]
HeldOutFiles = list[str] | None
_REPORTS = ("report.json", "report.txt")
_KEYS = re.compile(r"\bcorpora\.0: |\b(?:(?:corpora\.0|tokenizer|cleaning)\.(\w+)|((?:dev|test|vocabulary)_size)\b)")
_PIECE_OPTIONS = ("vocabulary_size", "algorithm", "separate_tokenizers", "normalization")


def prepare(
    context: typer.Context,
    corpora: Corpora,
    output: Annotated[Path, typer.Option(help="Folder to make.")],
    source: Annotated[str, typer.Option(help="Language of the first column or file, such as en.")] = "",
    target: Annotated[str, typer.Option(help="Language of the second one.")] = "",
    format_: Annotated[Format | None, typer.Option("--format", help="Of all files; default: by their names.")] = None,
    directions: Annotated[Directions, typer.Option(help="forward is from --source to --target.")] = "both",
    dev_size: Annotated[
        int | None,
        typer.Option(help="Sentences to hold out for validation, without --dev. Default: 1 of 20, at most 1000."),
    ] = None,
    test_size: Annotated[int | None, typer.Option(help="As --dev-size, for the test, without --test.")] = None,
    dev: Annotated[HeldOutFiles, typer.Option(metavar="FILE", help="Your own, or en-de=FILE; repeatable.")] = None,
    test: Annotated[HeldOutFiles, typer.Option(metavar="FILE", help="Your own, as --dev.")] = None,
    keep_out: Annotated[
        HeldOutFiles, typer.Option(metavar="FILE", help="Whose sentences not to train on, as --dev.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="A model folder whose pieces to take, to fine-tune it.")
    ] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option(help="Pieces a vocabulary. Default: 8000, or fewer if the text is small.")
    ] = None,
    algorithm: Annotated[Literal["unigram", "bpe", "char"], typer.Option(help="How to cut words.")] = "unigram",
    separate_tokenizers: Annotated[
        bool, typer.Option("--separate-tokenizers", help="One vocabulary a side; for one direction only.")
    ] = False,
    normalization: Annotated[Form, typer.Option(help="Unicode form of what the model sees.")] = "nfc",
    max_characters: Annotated[int, typer.Option(help="Drop pairs with a longer side.")] = 500,
    max_ratio: Annotated[float, typer.Option(help="Drop pairs with one side longer by this factor.")] = 3.0,
    keep_identical: Annotated[
        bool, typer.Option("--keep-identical", help="Keep pairs of which both sides are the same.")
    ] = False,
    any_language: Annotated[
        bool, typer.Option("--any-language", help="Do not check which languages the sides are in.")
    ] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep pairs that were seen before.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Decides which sentences are held out.")] = 1,
) -> None:
    """Clean parallel text, hold out dev and test sentences, learn a tokenizer: all that `nmt train` needs."""
    console = messages()
    if any(Path(file).suffix.lower() == ".toml" for file in corpora):
        made = prepare_corpus(_listed(context, corpora), output, console.print)
    elif not source or not target:
        raise ConfigError("name the languages with --source and --target, such as --source en --target de")
    else:
        corpus = {
            "files": corpora,
            "source": source,
            "target": target,
            "format": format_,
            "directions": directions,
            "dev_size": dev_size,
            "test_size": test_size,
            "dev": dev or (),
            "test": test or (),
            "keep_out": keep_out or (),
        }
        pieces: dict[str, Any] = {
            "algorithm": algorithm,
            "joint": not separate_tokenizers,
            "normalization": normalization,
        }
        if vocabulary_size is not None:
            pieces["vocabulary_size"] = vocabulary_size
        cleaning = {
            "max_characters": max_characters,
            "max_ratio": max_ratio,
            "check_languages": not any_language,
            "drop_identical": not keep_identical,
            "drop_duplicates": not keep_duplicates,
        }
        values: dict[str, Any] = {"corpora": [corpus], "tokenizer_from": tokenizer, "cleaning": cleaning, "seed": seed}
        if tokenizer is None or any(_is_given(context, name) for name in _PIECE_OPTIONS):
            values["tokenizer"] = pieces
        try:
            made = prepare_corpus(PrepareConfig.read(values, where="options"), output, console.print)
        except (ConfigError, DataError) as error:
            error.args = (_as_options(str(error)),)
            raise
    console.print(_summary(made))


def _as_options(message: str) -> str:
    """With the settings called as on the command line."""

    def option(key: re.Match[str]) -> str:
        name = key[1] or key[2]
        return f"--{name.replace('_', '-')}" if name else ""

    return _KEYS.sub(option, message)


def _listed(context: typer.Context, corpora: list[str]) -> PrepareConfig:
    """The settings of the one TOML file that was given; options beside it would contradict it."""
    options = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in ("corpora", "output") and _is_given(context, parameter.name)
    ]
    if len(corpora) > 1 or options:
        extra = ", ".join([*corpora[1:], *options])
        raise ConfigError(f"{corpora[0]} says what to prepare, so {extra} has no place beside it; write it in the file")
    return read_corpora(Path(corpora[0]))


def _is_given(context: typer.Context, name: str | None) -> bool:
    origin = context.get_parameter_source(name or "")
    return origin is not None and origin.name == "COMMANDLINE"


def _summary(corpus: PreparedCorpus) -> str:
    """The sizes, where the result is, and what to do next."""
    manifest = corpus.manifest
    rows: list[tuple[str, int, str]] = []
    for entry in manifest.corpora:
        times = "" if entry.weight == 1 else f", {entry.weight:g} times an epoch"
        rows.append((f"train {entry.name}", entry.train.size, f"pairs{times}"))
    for name, parts in (("dev", manifest.dev), ("test", manifest.test)):
        rows += [(f"{name} {direction}", part.size, "sentences") for direction, part in parts.items()]
    width = max(len(label) for label, *_ in rows)
    lines = [f"{label:<{width}} {size:>11,} {unit}" for label, size, unit in rows]
    lines += [
        f"\nthe corpus is in {corpus.folder}; examples of what was dropped: {corpus.folder / 'report.txt'}",
        f'train on it:  set data = "{corpus.folder}" in a recipe, then nmt train RECIPE --output RUN_FOLDER',
    ]
    return "\n".join(["", *lines])
