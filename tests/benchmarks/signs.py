"""How far the signs of a bad translation can be trusted: the figures of docs/quality.md.

python tests/benchmarks/signs.py TESTSET --source LANGUAGE --target LANGUAGE [--model FOLDER] [--sentences NUMBER]
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from statistics import mean

from figures import report

from nmt import Translator
from nmt.alignment import Unit
from nmt.scoring.metrics import sentence_scores
from nmt.translation import TextHypothesis
from training.corpus.test_sets import TestSet, read_test_set

EDGES = 0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01

Pairs = list[tuple[str, str]]
Scoring = Callable[[Pairs], list[TextHypothesis]]


def main() -> None:
    """What translations of each confidence are worth; which words are called left out or said twice, and rightly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("testset", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--sentences", type=int, default=400)
    arguments = parser.parse_args()
    translator = Translator.load(*arguments.model)
    rows = read_test_set([arguments.testset], (arguments.source, arguments.target))[: arguments.sentences]
    translations = translator.translate([text for text, _ in rows], arguments.target, arguments.source)
    report_confidence(rows, [translation.hypotheses[0] for translation in translations])
    report_words(rows, lambda pairs: translator.score(pairs, arguments.target, arguments.source))


def report_confidence(rows: TestSet, hypotheses: Sequence[TextHypothesis]) -> None:
    """The mean chrF2 of the translations between two confidences."""
    scored = [
        (hypothesis.quality.confidence, sentence_scores(hypothesis.text, references)["chrf"].score)
        for (_, references), hypothesis in zip(rows, hypotheses, strict=True)
    ]
    for low, high in pairwise(EDGES):
        if inside := [chrf for confidence, chrf in scored if low <= confidence < high]:
            report("quality.chrf", mean(inside), "chrF2", confidence_from=low, below=high, sentences=len(inside))


def report_words(rows: TestSet, score: Scoring) -> None:
    """The share of source words that are called uncovered or over-covered: in references, which are right, where the
    second half of the source was not translated, and where the translation was written down twice."""
    right = [(text, references[0]) for text, references in rows]
    halves = [(f"{first[0].rstrip('.!?')}, ", second[0], first[1]) for first, second in pairwise(right)]
    omitted = [(first + second, translation) for first, second, translation in halves]
    starts = [len(first) for first, _, _ in halves]
    doubled = [(text, f"{translation} {translation}") for text, translation in right]
    everywhere = [0] * len(right)
    for name, sign, pairs, begins in (
        ("uncovered, of references", "uncovered", right, everywhere),
        ("uncovered, of what was left out", "uncovered", omitted, starts),
        ("over-covered, of references", "over_covered", right, everywhere),
        ("over-covered, of what was said twice", "over_covered", doubled, everywhere),
    ):
        called, words = 0, 0
        for hypothesis, start in zip(score(pairs), begins, strict=True):
            units = hypothesis.alignment().source
            asked = {number for number, unit in enumerate(units) if unit.start >= start and is_word(unit)}
            called, words = called + len(asked & set(attrgetter(sign)(hypothesis.quality))), words + len(asked)
        report("quality.words", 100 * called / words, "% of the words", sign=name, words=words)


def is_word(unit: Unit) -> bool:
    """Not a sign of punctuation."""
    return unit.text[0].isalnum()


if __name__ == "__main__":
    main()
