"""Hold sentences out for dev and test such that none of them, on either side, stands in the training set."""

import random
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from nmt.errors import DataError
from training.corpus.records import TextPair, TextPairs
from training.corpus.sentences import SentencePairs, digest, fold

References = list[tuple[str, list[str]]]
"""Sources, each with its references."""

_NOTHING = SentencePairs(frozenset(), frozenset())
# What is known of a pair while a corpus is split: 25 bytes, so that the texts can stay on the disk.
_ROW = np.dtype([("source", "u8"), ("target", "u8"), ("exact_source", "u8"), ("barred", "?")])


@dataclass(frozen=True, slots=True)
class Split:
    """Dev and test sets, and the rows that they were: all others share no sentence with them."""

    dev: list[TextPair]
    test: list[TextPair]
    held_out: frozenset[int]

    def train(self, pairs: Iterable[TextPair]) -> Iterator[TextPair]:
        """What is left of the pairs that were split."""
        return (pair for row, pair in enumerate(pairs) if row not in self.held_out)


def split(pairs: TextPairs, dev_size: int, test_size: int, seed: int, barred: SentencePairs = _NOTHING) -> Split:
    """Cut off dev and test sets of so many distinct sources; whole components move, in an order that `seed` decides.

    Components with a `barred` sentence stay in the training set.
    Raises `DataError` when the pairs do not give that many, or less than half of them would be left to train on.
    """
    if 2 * (dev_size + test_size) > len(pairs):
        raise DataError(
            f"dev_size + test_size is {dev_size + test_size:,}, more than half of the {len(pairs):,} pairs; "
            "lower them, or bring your own dev and test files"
        )
    if not dev_size + test_size:
        return Split([], [], frozenset())
    rows = np.fromiter((_row(pair, barred) for pair in pairs), _ROW, len(pairs))
    groups = _shuffled_groups(components(rows["source"], rows["target"]), rows["barred"], seed)
    dev, too_large = _take(groups, rows["exact_source"], dev_size, "dev_size")
    test, _ = _take(chain(too_large, groups), rows["exact_source"], test_size, "test_size")
    held_out = frozenset((*dev, *test))
    texts = {row: pair for row, pair in enumerate(pairs) if row in held_out}
    return Split([texts[row] for row in dev], [texts[row] for row in test], held_out)


def _row(pair: TextPair, barred: SentencePairs) -> tuple[int, int, int, bool]:
    source, target = map(digest, map(fold, pair))
    return source, target, digest(pair[0]), barred.have(source, target)


def components(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """For each row the first one that it hangs together with, itself perhaps.

    Two rows hang together if they have the same source or the same target, or if a third links them.
    """
    parents = array("q", range(len(sources)))
    for texts in (sources, targets):
        order = np.argsort(texts, kind="stable")
        same = texts[order[1:]] == texts[order[:-1]]
        for earlier, row in zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True):
            first, later = sorted((_root(parents, earlier), _root(parents, row)))
            parents[later] = first
    roots = np.array(parents)
    while not np.array_equal(roots, further := roots[roots]):
        roots = further
    return roots


def collect_references(pairs: Iterable[TextPair]) -> References:
    """Sources in the order of their first pair, each with all its different targets."""
    rows: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        rows.setdefault(source, {})[target] = None
    return [(source, list(targets)) for source, targets in rows.items()]


def _root(parents: "array[int]", row: int) -> int:
    """Union-find with path halving (Tarjan & van Leeuwen 1984)."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _shuffled_groups(roots: np.ndarray, barred: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """The rows of each component that has no barred row."""
    firsts = np.flatnonzero(roots == np.arange(len(roots))).tolist()
    random.Random(seed).shuffle(firsts)
    order = np.argsort(roots, kind="stable")
    in_order = roots[order]
    closed = set(roots[barred].tolist())
    for first in firsts:
        if first not in closed:
            start, end = np.searchsorted(in_order, (first, first + 1))
            yield order[start:end]


def _take(
    groups: Iterator[np.ndarray], sources: np.ndarray, size: int, name: str
) -> tuple[list[int], list[np.ndarray]]:
    """The rows of the first groups that fit into `size` distinct sources, and the groups before that do not."""
    taken: list[int] = []
    too_large: list[np.ndarray] = []
    room = size
    while room and (rows := next(groups, None)) is not None:
        distinct = len(np.unique(sources[rows]))
        if distinct <= room:
            taken += rows.tolist()
            room -= distinct
        else:
            too_large.append(rows)
    if room:
        raise DataError(
            f"{name} is {size:,}, but only {size - room:,} sentences can be held out: the others hang together by "
            f"shared sentences; lower {name}, or bring your own file"
        )
    return taken, too_large
