"""How far links between words are from those that people drew."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nmt.errors import DataError, InputError

Pair = tuple[int, int]
"""A source word and a target word, by their numbers from 0."""

_LINK = re.compile(r"(\d+)([-?p])(\d+)")


@dataclass(frozen=True, slots=True)
class GoldLinks:
    """What people drew: `sure` links, and `possible` ones, which include the sure."""

    sure: frozenset[Pair]
    possible: frozenset[Pair]

    @classmethod
    def parse(cls, line: str) -> "GoldLinks":
        """Pharaoh format with marks: `1-2` is sure, `1?2` (also written `1p2`) is possible."""
        sure, possible = set[Pair](), set[Pair]()
        for text in line.split():
            link = _LINK.fullmatch(text)
            if link is None:
                raise DataError(f"{text!r} is no link; wanted: 1-2 for a sure one, 1?2 for a possible one")
            pair = int(link[1]), int(link[3])
            possible.add(pair)
            if link[2] == "-":
                sure.add(pair)
        return cls(frozenset(sure), frozenset(possible))


@dataclass(frozen=True, slots=True)
class AlignmentScore:
    """error_rate: 0 is perfect · precision: the share of links that are at least possible · recall: the share of sure
    links that were found. All from 0 to 1."""

    error_rate: float
    precision: float
    recall: float


def alignment_score(links: Sequence[Iterable[Pair]], gold: Sequence[GoldLinks]) -> AlignmentScore:
    """The alignment error rate of a test set: 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|), counted over all its sentences,
    with A the links, S the sure and P the possible ones (Och & Ney 2003)."""
    if len(links) != len(gold):
        raise InputError(f"there are links of {len(links)} sentences for {len(gold)} gold ones; one each is wanted")
    found = {(row, pair) for row, own in enumerate(links) for pair in own}
    sure = {(row, pair) for row, own in enumerate(gold) for pair in own.sure}
    possible = {(row, pair) for row, own in enumerate(gold) for pair in own.possible}
    right, allowed = len(found & sure), len(found & possible)
    wanted = len(found) + len(sure)
    return AlignmentScore(
        1 - (right + allowed) / wanted if wanted else 0.0,
        allowed / len(found) if found else 1.0,
        right / len(sure) if sure else 1.0,
    )
