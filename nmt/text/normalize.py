"""Unicode normalization that remembers where every character came from."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

Form = Literal["nfc", "nfkc", "none"]
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character: what no UTF-8 can hold."""

_META_SPACE = "\u2581"  # SentencePiece writes a space like this; in a text it would come back as a space
# Zero-width space, byte-order mark, soft hyphen, marks of direction and of where words join: nothing to translate.
_DROPPED = frozenset("\u200b\ufeff\u00ad\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e")
_DROPPED |= frozenset("\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069")
_FORM_NAMES: dict[Form, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}
_HANGUL_VOWELS_AND_TAILS = (range(0x1161, 0x1176), range(0x11A8, 0x11C3))


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """`text`, and for each of its characters the span `[start, end)` in the text that the caller sent."""

    text: str
    spans: list[tuple[int, int]]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The span in the caller's text of `text[start:end]`; an empty span stays empty."""
        if start >= end:
            at = self.spans[start][0] if start < len(self.spans) else (self.spans[-1][1] if self.spans else 0)
            return at, at
        return self.spans[start][0], self.spans[end - 1][1]


def normalize(text: str, form: Form = "nfc") -> NormalizedText:
    """Compose characters (`form`), turn each run of white space into one space, strip, and drop what cannot be seen.

    Control characters, marks of direction, zero-width spaces and soft hyphens go; lone surrogates, which no UTF-8 can
    hold, become U+FFFD.
    Idempotent: the normalized text normalizes to itself.
    """
    if _is_normal(text, form):
        return NormalizedText(text, [(i, i + 1) for i in range(len(text))])
    characters: list[str] = []
    spans: list[tuple[int, int]] = []
    space: tuple[int, int] | None = None
    for start, end in _clusters(text):
        for character in _normalize_cluster(text[start:end], form):
            if character.isspace():
                space = (space[0] if space else start, end)
                continue
            if space and characters:
                characters.append(" ")
                spans.append(space)
            space = None
            characters.append(character)
            spans.append((start, end))
    return NormalizedText("".join(characters), spans)


def visible_span(text: str, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """`[start, end)` of a text without what `normalize` takes off its ends; an empty span where nothing can be seen."""
    end = len(text) if end is None else end
    while start < end and _is_invisible(text[start]):
        start += 1
    while start < end and _is_invisible(text[end - 1]):
        end -= 1
    return start, end


def is_blank(text: str) -> bool:
    """Whether there is nothing in it to translate."""
    start, end = visible_span(text)
    return start == end


def _is_invisible(character: str) -> bool:
    return character.isspace() or _is_dropped(character)


def _is_normal(text: str, form: Form) -> bool:
    """Whether there is nothing to do: the common case, worth a look at C speed."""
    plain = text.isprintable() and "  " not in text and _META_SPACE not in text and text == text.strip()
    return plain and (form == "none" or text.isascii() or unicodedata.is_normalized(_FORM_NAMES[form], text))


def _normalize_cluster(cluster: str, form: Form) -> str:
    """The normal form of characters that may compose with each other, but with nothing around them."""
    visible = "".join(_replaced(c) for c in cluster if c.isspace() or not _is_dropped(c))
    if form == "none" or visible.isascii():
        return visible
    return unicodedata.normalize(_FORM_NAMES[form], visible)


def _is_dropped(character: str) -> bool:
    return character in _DROPPED or unicodedata.category(character) == "Cc"


def _replaced(character: str) -> str:
    if character == _META_SPACE:
        return "_"
    return "\ufffd" if "\ud800" <= character <= "\udfff" else character


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Cut the text wherever normalization cannot reach across (Unicode Standard Annex 15, section 9.1).

    What is dropped may stand between a letter and its accent, so it belongs to the cluster before it.
    """
    if text.isascii():
        yield from ((i, i + 1) for i in range(len(text)))
        return
    start = 0
    for i in range(1, len(text)):
        if not _joins_left(text[i]):
            yield start, i
            start = i
    if text:
        yield start, len(text)


def _joins_left(character: str) -> bool:
    """Whether normalization may merge or reorder the character with those before it."""
    dropped = _is_dropped(character) and not character.isspace()
    return dropped or bool(unicodedata.combining(character)) or character in _composing()


_LAST_PLANES = 0x30000
"""From here on no character decomposes."""


@cache
def _composing() -> frozenset[str]:
    """Characters of combining class 0 that compose with the one before: read off Python's own Unicode tables."""
    found = {chr(code) for block in _HANGUL_VOWELS_AND_TAILS for code in block}
    for code in range(_LAST_PLANES):
        parts = unicodedata.decomposition(chr(code)).split()
        # Some are of class 0 but made of marks that are not, and these are put in order with others.
        if parts and unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0]):
            found.add(chr(code))
        found.update(chr(int(part, 16)) for part in parts[1:] if len(parts) == 2 and not parts[0].startswith("<"))
    # NFKC turns these into characters that compose (half-width voiced marks and half-width Hangul).
    found.update(chr(code) for code in (*range(0xFF9E, 0xFFA0), *range(0xFFA1, 0xFFDD), *range(0x3131, 0x318F)))
    return frozenset(found)
