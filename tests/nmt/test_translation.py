"""What is said of a translated text: its words, its sentences, and what the model would have said instead."""

import math
from pathlib import Path

import pytest

from nmt import SearchConfig, TextHypothesis, Translator

SEARCH = SearchConfig(max_length=12)


@pytest.fixture(scope="module")
def translator(tiny_folder: Path) -> Translator:
    """A model with random weights."""
    return Translator.load(tiny_folder)


@pytest.fixture(scope="module")
def hypothesis(translator: Translator) -> TextHypothesis:
    """A text of two sentences."""
    return translator.translate(["Der Hund schläft. Und Tom?"], "en", "de", SEARCH)[0].hypotheses[0]


def test_a_word_is_as_sure_as_its_pieces_together(hypothesis: TextHypothesis) -> None:
    """The product of the probabilities of the pieces that have a character of it."""
    tokens, found = hypothesis.tokens, hypothesis.alignment().target
    pieces = [[t.log_prob for t in tokens if t.start < word.end and t.end > word.start] for word in found]

    assert hypothesis.word_confidences == pytest.approx([math.exp(sum(own)) for own in pieces])


def test_the_least_sure_sentence_brings_the_warning(hypothesis: TextHypothesis) -> None:
    """A good sentence beside it does not hide it."""
    values = [part.confidence for part in hypothesis.parts]

    assert len(set(values)) == 2
    assert "low_confidence" in hypothesis.warnings((min(values) + max(values)) / 2)
    assert "low_confidence" not in hypothesis.warnings(min(values))


def test_warnings_are_the_signs_that_hold(hypothesis: TextHypothesis) -> None:
    """None without its sign, no sign without its warning."""
    quality = hypothesis.quality
    wanted = {"uncovered": quality.uncovered, "over_covered": quality.over_covered, "repetition": quality.repetition}

    assert hypothesis.warnings() == [name for name, holds in wanted.items() if holds]


def test_alternatives_are_the_likeliest_pieces_in_order(translator: Translator, hypothesis: TextHypothesis) -> None:
    """As many as asked, or all; those of all pieces sum to 1; the piece that stands there is among them."""
    few, everything = (translator.alternatives(hypothesis, count) for count in (3, 100_000))

    assert [len(place) for place in few] == [3] * len(hypothesis.tokens)
    for token, place, whole in zip(hypothesis.tokens, few, everything, strict=True):
        assert whole[:3] == place
        assert [p for _, p in whole] == sorted((p for _, p in whole), reverse=True)
        assert sum(math.exp(p) for _, p in whole) == pytest.approx(1, abs=1e-4)
        assert dict(whole)[token.piece] == pytest.approx(token.log_prob, abs=1e-4)
