"""What makes two sentences the same, and sets of many of them that take little memory."""

import hashlib
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache

from nmt.text.languages import base_language
from training.corpus.records import Direction, TextPair


class Sentences:
    """Sentences by language, of whatever region: what is held out in one corpus must not come back in another."""

    def __init__(self) -> None:
        self._known: defaultdict[str, set[int]] = defaultdict(set)

    def add(self, languages: Direction, pairs: Iterable[TextPair]) -> None:
        """Both sides of pairs in these languages."""
        source, target = (self._known[base_language(language)] for language in languages)
        for one, other in pairs:
            source.add(digest(fold(one)))
            target.add(digest(fold(other)))

    def of(self, languages: Direction) -> "SentencePairs":
        """What is known, and will be added, of two languages."""
        source, target = map(base_language, languages)
        return SentencePairs(self._known[source], self._known[target])


@dataclass(frozen=True, slots=True)
class SentencePairs:
    """Digests of folded sentences of two languages; a pair is `in` it when its source or its target is."""

    sources: AbstractSet[int]
    targets: AbstractSet[int]

    def __contains__(self, pair: object) -> bool:
        if not isinstance(pair, tuple) or not (self.sources or self.targets):
            return False
        return self.have(*map(digest, map(fold, pair)))

    def have(self, source: int, target: int) -> bool:
        """Whether one of these digests is known."""
        return source in self.sources or target in self.targets


def digest(text: str) -> int:
    """64 bits that stand for a text; of ten million texts, two have the same with a chance of 3 in a million."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def fold(text: str) -> str:
    """The text without case, punctuation, symbols, what cannot be seen and variants of letters: what makes two
    sentences the same.

    A text of signs alone stays as it is, so that `?` and `!` are not the same.
    """
    compatible = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(compatible.casefold().translate(_signs()).split()) or text


@cache
def _signs() -> dict[int, None]:
    codes = range(sys.maxunicode + 1)
    return dict.fromkeys(code for code in codes if _is_sign(chr(code)))


def _is_sign(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "PS" or (category in ("Cc", "Cf") and not character.isspace())
