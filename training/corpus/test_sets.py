"""Sentences with their references, for evaluation and for guards."""

from collections.abc import Sequence
from pathlib import Path

from nmt.errors import DataError, how_to_convert
from nmt.text.normalize import SURROGATE, is_blank
from training.corpus.files import TextFile, read_lines
from training.corpus.readers import Format, format_of, locate, read
from training.corpus.records import Direction, Line, Pair, Reason, Rejected

TestSet = list[tuple[str, list[str]]]

_ROWS: tuple[Format, ...] = ("tsv", "jsonl")
"""Formats with a pair a line, where one that is none is a mistake; a memory may well have others beside its pairs."""


def read_test_set(paths: Sequence[Path], direction: Direction) -> TestSet:
    """Sources with their references: from one file of any format of parallel text, where one of another name is a TSV,
    or from text files that are parallel line by line."""
    rows = _rows(paths[0], direction) if len(paths) == 1 else _parallel(paths)
    if not rows:
        raise DataError(f"{paths[0]} has no sentence {'-'.join(direction)}; a test set has at least one")
    return rows


def _rows(path: Path, direction: Direction) -> TestSet:
    known = path.suffix.lower() == ".zip" or format_of(TextFile(path))
    return [
        _checked(line)
        for location in locate(str(path), direction, None if known else "tsv")
        for line in read(location, direction, references=True)
        if not _is_beside_the_pairs(line, location.format)
    ]


def _is_beside_the_pairs(line: Line, format_: Format) -> bool:
    """Whether a file may well have this, and nothing is lost without it."""
    if isinstance(line, Rejected):
        return line.reason is Reason.HEADER or (format_ not in _ROWS and line.reason is not Reason.BROKEN)
    return format_ not in _ROWS and (is_blank(line.source) or all(map(is_blank, line.targets)))


def _checked(line: Line) -> tuple[str, list[str]]:
    where = f"{line.file}, line {line.line:,}"
    if isinstance(line, Pair):
        return _row(where, line.source, line.targets)
    if line.reason is Reason.BROKEN:
        raise DataError(f"{where} is broken ({line.detail}); {how_to_convert(line.file)}")
    raise DataError(f"{where}: wanted a source and at least one reference, got {line.text!r:.80} ({line.detail})")


def _row(where: str, source: str, references: Sequence[str]) -> tuple[str, list[str]]:
    some = [reference for reference in references if not is_blank(reference)]
    if is_blank(source) or not some:
        row = [source, *references]
        raise DataError(f"{where}: wanted a source and at least one reference, got {row!r:.80}")
    for text in (source, *some):
        if surrogate := SURROGATE.search(text):
            raise DataError(f"{where}: half a surrogate pair at {surrogate.start()} of {text!r:.80}; mend or remove it")
    return source, some


def _parallel(paths: Sequence[Path]) -> TestSet:
    columns = [read_lines(path, "the test set") for path in paths]
    if any("\t" in line for line in columns[0]):
        raise DataError(f"{paths[0]} has tabs, so it is a whole test set; evaluate it alone, without {paths[1]}")
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{path} has {len(column)}" for path, column in zip(paths, columns, strict=True))
        raise DataError(f"parallel files must have the same number of lines, but {sizes}")
    rows = enumerate(zip(*columns, strict=True), 1)
    return [_row(f"{paths[0]}, line {number:,}", source, references) for number, (source, *references) in rows]
