"""Hold sentences out for dev and test such that none of them, on either side, stands in the training set."""

import random
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from nmt.errors import DataError
from training.corpus.records import TextPair

References = list[tuple[str, list[str]]]
"""Sources, each with its references."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three sets of pairs that share no sentence."""

    train: list[TextPair]
    dev: list[TextPair]
    test: list[TextPair]


class Sentences:
    """All sentences of some pairs by side; a pair is `in` it when its source or its target is."""

    def __init__(self, pairs: Iterable[TextPair] = ()) -> None:
        sides = [(fold(source), fold(target)) for source, target in pairs]
        self._sources = frozenset(source for source, _ in sides)
        self._targets = frozenset(target for _, target in sides)

    def __contains__(self, pair: object) -> bool:
        if not self._sources or not isinstance(pair, tuple):
            return False
        return fold(pair[0]) in self._sources or fold(pair[1]) in self._targets


def fold(text: str) -> str:
    """The text without case, punctuation, symbols and variants of letters: what makes two sentences the same.

    A text of signs alone stays as it is, so that `?` and `!` are not the same.
    """
    compatible = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(compatible.casefold().translate(_signs()).split()) or text


@cache
def _signs() -> dict[int, None]:
    codes = range(sys.maxunicode + 1)
    return dict.fromkeys(code for code in codes if unicodedata.category(chr(code))[0] in "PS")


def split(pairs: Sequence[TextPair], dev_size: int, test_size: int, seed: int) -> Split:
    """Cut off dev and test sets of so many distinct sources; whole components move, in an order that `seed` decides.

    Raises `DataError` when the pairs do not give that many, or less than half of them would be left to train on.
    """
    if 2 * (dev_size + test_size) > len(pairs):
        raise DataError(
            f"dev_size + test_size is {dev_size + test_size:,}, more than half of the {len(pairs):,} pairs; "
            "lower them, or bring your own files with --dev and --test"
        )
    groups = components(pairs)
    random.Random(seed).shuffle(groups)
    dev, groups = _take(pairs, groups, dev_size, "dev_size")
    test, groups = _take(pairs, groups, test_size, "test_size")
    # In the order of the corpus, whatever the order of the groups.
    train = sorted(row for group in groups for row in group)
    return Split([pairs[row] for row in train], dev, test)


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
) -> tuple[list[TextPair], list[list[int]]]:
    """The pairs of the first groups that fit into `size` distinct sources, and the groups that are left."""
    taken: list[TextPair] = []
    left: list[list[int]] = []
    room = size
    for group in groups:
        sources = len({pairs[row][0] for row in group}) if room else 0
        if 0 < sources <= room:
            taken += [pairs[row] for row in group]
            room -= sources
        else:
            left.append(group)
    if room:
        raise DataError(
            f"{name} is {size:,}, but only {size - room:,} sentences can be held out: the others hang together by "
            f"shared sentences; lower {name}, or bring your own file"
        )
    return taken, left
