"""Sentences with their references, for evaluation and for guards."""

from collections.abc import Sequence
from pathlib import Path

from nmt.errors import DataError
from nmt.text.normalize import is_blank
from training.corpus.files import read_lines

TestSet = list[tuple[str, list[str]]]


def read_test_set(paths: Sequence[Path]) -> TestSet:
    """Sources with their references, from one TSV file or from files that are parallel line by line."""
    columns = [read_lines(path, "the test set") for path in paths]
    if len(paths) == 1:
        rows = [line.split("\t") for line in columns[0]]
    elif any("\t" in line for line in columns[0]):
        raise DataError(f"{paths[0]} has tabs, so it is a whole test set; evaluate it alone, without {paths[1]}")
    elif len({len(column) for column in columns}) == 1:
        rows = [list(row) for row in zip(*columns, strict=True)]
    else:
        sizes = ", ".join(f"{path} has {len(column)}" for path, column in zip(paths, columns, strict=True))
        raise DataError(f"parallel files must have the same number of lines, but {sizes}")
    for number, row in enumerate(rows, start=1):
        if len(row) < 2 or is_blank(row[0]) or all(map(is_blank, row[1:])):
            raise DataError(f"{paths[0]}, line {number}: wanted a source and at least one reference, got {row!r:.80}")
    if not rows:
        raise DataError(f"{paths[0]} is empty; a test set has at least one line")
    return [(row[0], [reference for reference in row[1:] if not is_blank(reference)]) for row in rows]
