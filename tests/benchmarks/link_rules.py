"""Which rule draws the best links: the table of docs/alignment.md, for the model in the box.

python tests/benchmarks/link_rules.py [MODEL]
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from figures import report

from nmt import Translator
from nmt.alignment import Alignment
from nmt.arrays import Floats
from nmt.scoring.alignment_error import GoldLinks, Pair, alignment_score

DATA = Path(__file__).parents[1] / "data"

Rule = Callable[[Alignment], Iterable[Pair]]


def main() -> None:
    """One line a rule and direction: the alignment error rate, in percent."""
    translator = Translator.load(*map(Path, sys.argv[1:2]))
    rows = [line.split("\t") for line in (DATA / "gold.en-de.tsv").read_text(encoding="utf-8").splitlines()]
    gold = [GoldLinks.parse(line) for line in (DATA / "gold.en-de.pharaoh").read_text().splitlines()]
    for source, target, pairs, links in (
        ("en", "de", [(row[0], row[1]) for row in rows], gold),
        ("de", "en", [(row[1], row[0]) for row in rows], [turned(own) for own in gold]),
    ):
        alignments = [found.alignment() for found in translator.score(pairs, target, source)]
        for name, rule in RULES.items():
            error = alignment_score([set(rule(own)) for own in alignments], links).error_rate
            report("alignment.error_rate", 100 * error, "%", rule=name, direction=f"{source}-{target}")


def turned(gold: GoldLinks) -> GoldLinks:
    """The links of the other direction."""
    return GoldLinks(*(frozenset((t, s) for s, t in own) for own in (gold.sure, gold.possible)))


def largest(shares: Floats) -> Iterable[Pair]:
    """Of each target word (row), the source word with the most."""
    return ((int(s), t) for t, s in enumerate(shares.argmax(axis=1)))


def balanced(weights: Floats, times: int) -> Floats:
    """Columns, then rows, brought to sum 1, so many times (Sinkhorn & Knopp 1967)."""
    for _ in range(times):
        weights = weights / np.maximum(weights.sum(axis=0), 1e-9)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return weights


def both_ways(weights: Floats) -> Iterable[Pair]:
    """Where the largest of a row is the largest of its column."""
    return ((s, t) for s, t in largest(weights) if weights[:, s].argmax() == t)


def half_of_the_largest(weights: Floats) -> Iterable[Pair]:
    """All of a row that have at least that."""
    return ((int(s), int(t)) for t, s in np.argwhere(weights >= weights.max(axis=1, keepdims=True) / 2))


def geometric(weights: Floats) -> Iterable[Pair]:
    """The largest of √(share of the row · share of the column)."""
    return largest(weights / np.sqrt(np.maximum(weights.sum(axis=0), 1e-9)))


RULES: dict[str, Rule] = {
    "the rule of nmt.alignment": lambda own: ((link.source, link.target) for link in own.links),
    "the largest weight": lambda own: largest(own.weights),
    "all with at least half of the largest weight": lambda own: half_of_the_largest(own.weights),
    "largest in its row and in its column": lambda own: both_ways(own.weights),
    "geometric mean of row and column shares, the largest": lambda own: geometric(own.weights),
    "rows and columns normalized in turn, five times, the largest": lambda own: largest(balanced(own.weights, 5)),
}

if __name__ == "__main__":
    main()
