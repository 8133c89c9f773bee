"""What the readers yield: pairs, and lines that are none."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

TextPair = tuple[str, str]
"""Source and target text."""

Direction = tuple[str, str]
"""Source and target language."""


class TextPairs(Protocol):
    """Pairs that can be counted, and gone through more than once: a list, or a file."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[TextPair]: ...


class Reason(StrEnum):
    """Why a line did not become a training pair."""

    MALFORMED = "malformed"
    HEADER = "names of columns"
    BROKEN = "broken encoding"
    EMPTY = "empty"
    UNTRANSLATED = "not translated"
    DRAFT = "fuzzy or not approved"
    LANGUAGE = "not in the languages"
    TOO_LONG = "too long"
    WORDLESS = "no words on one side"
    RATIO = "lengths too different"
    SWAPPED = "sides swapped"
    IDENTICAL = "same on both sides"
    HELD_OUT = "in dev, test, kept out"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence with its translations (one, or several references), and where it stands; lines count from 1."""

    source: str
    targets: tuple[str, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is no pair; `detail` says what is wrong with `text`."""

    reason: Reason
    detail: str
    text: str
    file: str
    line: int


class NoPair(ValueError):
    """What stands in a file is no pair, for this reason."""

    def __init__(self, detail: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(detail)
        self.reason = reason


Line = Pair | Rejected


def is_in(given: str, wanted: str) -> bool:
    """Whether a code names the wanted language, or a kind of it: `EN_us` is in `en`, and gettext's `sr@latin` in `sr`,
    but `en` is not in `en-US`."""
    code = given.strip().lower().replace("_", "-").replace("@", "-")
    return code == wanted.lower() or code.startswith(f"{wanted.lower()}-")
