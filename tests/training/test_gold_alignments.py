"""Links of the model in the box against those that a person drew for thirty sentences, both ways."""

from pathlib import Path

import numpy as np
import pytest

from nmt.alignment import Alignment
from nmt.errors import DataError
from nmt.scoring.alignment_error import GoldLinks, alignment_score
from nmt.translator import Translator
from training.gold_alignments import read_gold_alignments, score_alignments

DATA = Path(__file__).parents[1] / "data"
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """English and German."""
    lines = (DATA / "gold.en-de.tsv").read_text(encoding="utf-8").splitlines()
    return [(english, german) for english, german in (line.split("\t") for line in lines)]


@pytest.fixture(scope="module")
def gold(pairs: Pairs) -> list[GoldLinks]:
    """Links from English to German."""
    return read_gold_alignments(DATA / "gold.en-de.pharaoh", pairs)


@pytest.fixture(scope="module")
def alignments(pairs: Pairs) -> list[Alignment]:
    """What the model in the box looks at while it is forced through the German sentences."""
    return [hypothesis.alignment() for hypothesis in Translator.load().score(pairs, "de", "en")]


def rate(links: list[list[tuple[int, int]]], gold: list[GoldLinks]) -> float:
    """The error rate."""
    return alignment_score(links, gold).error_rate


def test_the_model_in_the_box_aligns_well_both_ways(pairs: Pairs, gold: list[GoldLinks]) -> None:
    """At most 8 % of the links are wrong; from German to English, the links of the gold set are turned round."""
    turned = [
        GoldLinks(frozenset((t, s) for s, t in own.sure), frozenset((t, s) for s, t in own.possible)) for own in gold
    ]
    translator = Translator.load()

    assert score_alignments(translator, pairs, gold, "en", "de").error_rate < 0.08
    swapped = [(german, english) for english, german in pairs]
    assert score_alignments(translator, swapped, turned, "de", "en").error_rate < 0.08


def test_links_are_better_than_the_largest_weight(alignments: list[Alignment], gold: list[GoldLinks]) -> None:
    """That is why source words compete."""
    ours = [[(link.source, link.target) for link in alignment.links] for alignment in alignments]
    largest = [[(int(s), t) for t, s in enumerate(alignment.weights.argmax(axis=1))] for alignment in alignments]

    assert rate(ours, gold) < rate(largest, gold)


@pytest.mark.parametrize("shift", [-1, 1])
def test_attention_is_not_off_by_one(alignments: list[Alignment], gold: list[GoldLinks], shift: int) -> None:
    """The weights of a step belong to the word that it writes, not to the one before or after."""

    def links(alignment: Alignment, by: int) -> list[tuple[int, int]]:
        moved = np.roll(alignment.weights, by, axis=0)
        shifted = Alignment("words", alignment.source, alignment.target, moved)
        return [(link.source, link.target) for link in shifted.links]

    assert rate([links(a, 0) for a in alignments], gold) < 0.2 * rate([links(a, shift) for a in alignments], gold)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0-0\n0-0\n", r"has 2 lines for 1 lines of the test set; one each is wanted"),
        ("0-0 1:1\n", r"line 1: '1:1' is no link; wanted"),
        ("0-0 2-1\n", r"line 1: link 2-1, but the source has 2 words and the reference 2, counted from 0: 'a b x y'"),
        ("0-2\n", r"line 1: link 0-2, but the source has 2 words"),
        (b"\xff\n", r"is not UTF-8"),
        (None, r"cannot be read: No such file"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    """With its line, and what was expected there."""
    path = tmp_path / "gold"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    with pytest.raises(DataError, match=message):
        read_gold_alignments(path, [("a b", "x y")])
