"""What text is made of for those who read it symbol by symbol: characters, and bytes that stand alone."""

import re
import unicodedata
from functools import lru_cache

LONE_BYTE = "\udc00"
"""The symbol of the byte 0; those of the others follow it. No text has them."""

LETTER, OTHER, BYTE, CLOSING = range(4)
"""Kinds of symbols: part of a word, not part of one, a byte that does not tell of which character it is, and a sign
after which no word follows without a space."""

_CLOSING = frozenset(".,;:!?…)]}،؛؟۔।")  # not those of scripts without spaces, nor quotes, which open as well

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""The scripts without spaces between words, as part of a class of a regular expression: each character is a word."""

_UNSPACED = re.compile(f"[{UNSPACED}]")


@lru_cache(maxsize=1 << 16)
def kind(symbol: str) -> int:
    """LETTER for letters, digits and their marks; in scripts without spaces, each character is a word of its own."""
    if symbol in _CLOSING:
        return CLOSING
    if LONE_BYTE <= symbol < chr(ord(LONE_BYTE) + 256):
        byte = ord(symbol) - ord(LONE_BYTE)
        return BYTE if byte > 127 else kind(chr(byte))
    if not symbol or _UNSPACED.match(symbol):
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
