"""What the tests of the readers share: a file as lines, lines as pairs or as reasons, and the memory that takes."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """At no moment may the process hold that many bytes more than at the beginning."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets peaks of before
    before = _peak()
    yield
    assert _peak() - before < most


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
