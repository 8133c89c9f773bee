"""What text is made of for those who read it symbol by symbol: characters, and bytes that stand alone."""

import unicodedata
from functools import lru_cache

LONE_BYTE = "\udc00"
"""The symbol of the byte 0; those of the others follow it. No text has them."""

LETTER, OTHER, BYTE = range(3)
"""Kinds of symbols: part of a word, not part of one, and a byte that does not tell of which character it is."""

_EAST_ASIAN = (("\u3040", "\u30ff"), ("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"), ("\uf900", "\ufaff"))


@lru_cache(maxsize=1 << 16)
def kind(symbol: str) -> int:
    """LETTER for letters, digits and their marks; in scripts without spaces, each character is a word of its own."""
    if LONE_BYTE <= symbol < chr(ord(LONE_BYTE) + 256):
        byte = ord(symbol) - ord(LONE_BYTE)
        return BYTE if byte > 127 else kind(chr(byte))
    if not symbol or any(first <= symbol <= last for first, last in _EAST_ASIAN):
        return OTHER
    return LETTER if symbol.isalnum() or unicodedata.category(symbol).startswith("M") else OTHER


def occurrences(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where a phrase stands in a text as whole words, as it is or with its first letter in upper case."""
    found = []
    for one in {phrase, phrase[:1].upper() + phrase[1:]} - {""}:
        start = text.find(one)
        while start >= 0:
            end = start + len(one)
            if not (_joined(text[start - 1 : start], one[0]) or _joined(one[-1], text[end : end + 1])):
                found.append((start, end))
            start = text.find(one, start + 1)
    return sorted(found)


def _joined(left: str, right: str) -> bool:
    """Whether two characters, or none, belong to one word."""
    return kind(left) == kind(right) == LETTER
