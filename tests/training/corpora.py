"""What the tests of the readers share: a file as lines, and lines as pairs or as reasons."""

from pathlib import Path

from training.corpus.readers import locate, read
from training.corpus.records import Direction, Line, Pair, Rejected

EN_DE = ("en", "de")


def lines_of(path: Path, content: str | bytes, direction: Direction = EN_DE) -> list[Line]:
    """All lines of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [line for location in locate(str(path), direction) for line in read(location, direction)]


def pairs(lines: list[Line]) -> list[tuple[str, ...]]:
    """Source and targets of each pair."""
    return [(line.source, *line.targets) for line in lines if isinstance(line, Pair)]


def rejected(lines: list[Line]) -> list[tuple[int, str, str]]:
    """Line, reason and detail of what is no pair."""
    return [(line.line, line.reason.value, line.detail) for line in lines if isinstance(line, Rejected)]
