"""Streaming readers of parallel text: Moses pairs, TSV and JSONL, each plain, gzip or xz.

A broken line never ends a run: it comes out as `Rejected`. A file that cannot be read to its end does, as `DataError`.
"""

import gzip
import json
import lzma
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from nmt.errors import DataError
from training.corpus.records import Direction, Line, Pair, Reason, Rejected

Format = Literal["moses", "tsv", "jsonl"]

_FORMATS: dict[str, Format] = {".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_COMPRESSIONS = (".gz", ".xz")
_HOW_TO_NAME = "name it .tsv or .jsonl, give two files as x.en,x.de, or state the format"


@dataclass(frozen=True, slots=True)
class Location:
    """Where parallel text is: two files for `moses`, one for the other formats."""

    paths: tuple[Path, ...]
    format: Format

    def __str__(self) -> str:
        return ",".join(str(path) for path in self.paths)


def locate(text: str, stated: Format | None = None) -> Location:
    """Understand `x.tsv`, `x.jsonl.gz` or `x.en,x.de`; a stated format beats the name.

    Raises `DataError` if the format cannot be told or a file does not exist.
    """
    paths = tuple(Path(part) for part in text.split(",")) if stated in (None, "moses") else (Path(text),)
    format_ = stated or ("moses" if len(paths) == 2 else _FORMATS.get(_bare(paths[0]).suffix.lower()))
    if format_ is None or len(paths) > 2:
        raise DataError(f"the format of {text} cannot be told from its name; {_HOW_TO_NAME}")
    if format_ == "moses" and len(paths) != 2:
        raise DataError(f"{text} is one file, but the format moses takes two, as in x.en,x.de")
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is {'a folder, not a file' if path.is_dir() else 'not there'}; check the path")
    return Location(paths, format_)


def read(location: Location, direction: Direction, references: bool = False) -> Iterator[Line]:
    """Lines of a corpus in order. `direction` names the languages, which JSONL keys and Moses file names may state.

    With `references`, TSV columns after the second are further references; else they are passed over, as Tatoeba
    and others put remarks there.
    """
    if location.format == "moses":
        _check_order(location, direction)
        yield from _read_moses(*location.paths)
        return
    for line in _lines(location.paths[0]):
        yield _parsed(line, location, direction, references)


class _TextLine(NamedTuple):
    number: int
    text: str
    valid: bool


def _parsed(line: _TextLine, location: Location, direction: Direction, references: bool) -> Line:
    file = str(location)
    if not line.valid:
        return _broken(line, file)
    if not line.text.strip():
        return Pair("", ("",), file, line.number)
    try:
        source, targets = _columns(line.text) if location.format == "tsv" else _json_pair(line.text, direction)
    except ValueError as error:
        return Rejected(Reason.MALFORMED, str(error), line.text, file, line.number)
    if location.format == "tsv":
        targets = (targets[0], *filter(str.strip, targets[1:])) if references else targets[:1]
    return Pair(source, targets, file, line.number)


def _columns(text: str) -> tuple[str, tuple[str, ...]]:
    source, *targets = text.split("\t")
    if not targets:
        raise ValueError("no tab between source and target")
    return source, tuple(targets)


def _json_pair(text: str, direction: Direction) -> tuple[str, tuple[str, ...]]:
    """The pair in a JSON object; `ValueError` says what is wrong with it."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("no JSON that can be read: nested too deeply") from error
    if isinstance(values, dict) and isinstance(values.get("translation"), dict):
        values = values["translation"]
    if not isinstance(values, dict):
        raise ValueError(f"a JSON {type(values).__name__}, not an object")
    for source_key, target_key in (("source", "target"), direction):
        if source_key in values and target_key in values:
            return _text(values[source_key], source_key), _texts(values[target_key], target_key)
    raise ValueError(f"neither source and target nor {' and '.join(direction)} among the keys {', '.join(values)}")


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} is of type {type(value).__name__}, not text")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        return (_text(value, key),)
    if not value:
        raise ValueError(f"{key} is an empty list")
    return tuple(_text(part, key) for part in value)


def _check_order(location: Location, direction: Direction) -> None:
    """Refuse `x.de,x.en` where English is the source: swapped sides would train a model of the wrong direction."""
    named = tuple(_bare(path).suffix.removeprefix(".").lower() for path in location.paths)
    source, target = (language.lower() for language in direction)
    if named == (target, source):
        raise DataError(
            f"{location} names {target} first, but {source} is the source; give the files as "
            f"{location.paths[1]},{location.paths[0]}"
        )


def _read_moses(source_path: Path, target_path: Path) -> Iterator[Line]:
    sources, targets = _lines(source_path), _lines(target_path)
    for source, target in zip_longest(sources, targets):
        if source is None:
            raise _different_lengths(source_path, target.number - 1, target_path, _last(target, targets))
        if target is None:
            raise _different_lengths(source_path, _last(source, sources), target_path, source.number - 1)
        if not source.valid:
            yield _broken(source, str(source_path))
        elif not target.valid:
            yield _broken(target, str(target_path))
        else:
            yield Pair(source.text, (target.text,), str(source_path), source.number)


def _last(line: _TextLine, following: Iterator[_TextLine]) -> int:
    return line.number + sum(1 for _ in following)


def _different_lengths(source_path: Path, sources: int, target_path: Path, targets: int) -> DataError:
    return DataError(
        f"{source_path} has {sources:,} lines and {target_path} has {targets:,}; line n of one must be the "
        "translation of line n of the other, so they must be equally long"
    )


def _broken(line: _TextLine, file: str) -> Rejected:
    return Rejected(Reason.BROKEN, "not UTF-8", line.text, file, line.number)


def _lines(path: Path) -> Iterator[_TextLine]:
    """The lines without their ends, each decoded on its own; only `\\n` and `\\r\\n` end a line."""
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                content = raw.removeprefix(BOM_UTF8) if number == 1 else raw
                content = content.removesuffix(b"\n").removesuffix(b"\r")
                try:
                    line = _TextLine(number, content.decode("utf-8"), True)
                except UnicodeDecodeError:
                    line = _TextLine(number, content.decode("utf-8", "replace"), False)
                yield line
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is cut short or damaged after line {number:,} ({error}); fetch it or compress it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")


def _bare(path: Path) -> Path:
    """The name without the ending of its compression."""
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSIONS else path
