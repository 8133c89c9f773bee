"""Hold sentences out for dev and test such that none of them, on either side, stands in the training set."""

import random
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache

from nmt.errors import DataError
from nmt.text.languages import base_language
from training.corpus.records import Direction, TextPair

References = list[tuple[str, list[str]]]
"""Sources, each with its references."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three sets of pairs that share no sentence."""

    train: list[TextPair]
    dev: list[TextPair]
    test: list[TextPair]


class Sentences:
    """Sentences by language, of whatever region: what is held out in one corpus must not come back in another."""

    def __init__(self) -> None:
        self._folded: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, languages: Direction, pairs: Iterable[TextPair]) -> None:
        """Both sides of pairs in these languages."""
        for pair in pairs:
            for language, text in zip(languages, pair, strict=True):
                self._folded[base_language(language)].add(fold(text))

    def of(self, languages: Direction) -> "SentencePairs":
        """What is known, and will be added, of two languages."""
        source, target = map(base_language, languages)
        return SentencePairs(self._folded[source], self._folded[target])


@dataclass(frozen=True, slots=True)
class SentencePairs:
    """Folded sentences of two languages; a pair is `in` it when its source or its target is."""

    sources: AbstractSet[str]
    targets: AbstractSet[str]

    def __contains__(self, pair: object) -> bool:
        if not isinstance(pair, tuple) or not (self.sources or self.targets):
            return False
        return fold(pair[0]) in self.sources or fold(pair[1]) in self.targets


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


def split(
    pairs: Sequence[TextPair], dev_size: int, test_size: int, seed: int, barred: Container[TextPair] = ()
) -> Split:
    """Cut off dev and test sets of so many distinct sources; whole components move, in an order that `seed` decides.

    Components with a `barred` pair stay in the training set.
    Raises `DataError` when the pairs do not give that many, or less than half of them would be left to train on.
    """
    if 2 * (dev_size + test_size) > len(pairs):
        raise DataError(
            f"dev_size + test_size is {dev_size + test_size:,}, more than half of the {len(pairs):,} pairs; "
            "lower them, or bring your own dev and test files"
        )
    if not dev_size + test_size:
        return Split(list(pairs), [], [])
    groups = components(pairs)
    random.Random(seed).shuffle(groups)
    free = [group for group in groups if not any(pairs[row] in barred for row in group)]
    dev, free = _take(pairs, free, dev_size, "dev_size")
    test, _ = _take(pairs, free, test_size, "test_size")
    held_out = {*dev, *test}
    train = [pair for row, pair in enumerate(pairs) if row not in held_out]
    return Split(train, [pairs[row] for row in dev], [pairs[row] for row in test])


def components(pairs: Sequence[TextPair]) -> list[list[int]]:
    """Rows that hang together: two pairs do if they share a source or a target, folded, or if a third links them."""
    parents = list(range(len(pairs)))
    first: dict[tuple[int, str], int] = {}
    for row, pair in enumerate(pairs):
        for side, text in enumerate(pair):
            earlier = first.setdefault((side, fold(text)), row)
            if earlier != row:
                parents[_root(parents, row)] = _root(parents, earlier)
    groups: dict[int, list[int]] = {}
    for row in range(len(pairs)):
        groups.setdefault(_root(parents, row), []).append(row)
    return list(groups.values())


def collect_references(pairs: Iterable[TextPair]) -> References:
    """Sources in the order of their first pair, each with all its different targets."""
    rows: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        rows.setdefault(source, {})[target] = None
    return [(source, list(targets)) for source, targets in rows.items()]


def _root(parents: list[int], row: int) -> int:
    """Union-find with path halving (Tarjan & van Leeuwen 1984)."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _take(
    pairs: Sequence[TextPair], groups: list[list[int]], size: int, name: str
) -> tuple[list[int], list[list[int]]]:
    """The rows of the first groups that fit into `size` distinct sources, and the groups that are left."""
    taken: list[int] = []
    left: list[list[int]] = []
    room = size
    for group in groups:
        sources = len({pairs[row][0] for row in group}) if room else 0
        if 0 < sources <= room:
            taken += group
            room -= sources
        else:
            left.append(group)
    if room:
        raise DataError(
            f"{name} is {size:,}, but only {size - room:,} sentences can be held out: the others hang together by "
            f"shared sentences; lower {name}, or bring your own file"
        )
    return taken, left
