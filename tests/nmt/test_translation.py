"""What is said of a translated text: its words, its sentences, and what the model would have said instead."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from nmt import SearchConfig, TextHypothesis, Translator
from nmt.errors import InputError
from nmt.search.hypothesis import Hypothesis
from nmt.text.tokenizer import END

SEARCH = SearchConfig(max_length=12)
BEST = SearchConfig(n_best=5)


@pytest.fixture(scope="module")
def translator(tiny_folder: Path) -> Translator:
    """A model with random weights."""
    return Translator.load(tiny_folder)


@pytest.fixture(scope="module")
def hypothesis(translator: Translator) -> TextHypothesis:
    """A text of two sentences."""
    return translator.translate(["Der Hund schläft. Und Tom?"], "en", "de", SEARCH)[0].hypotheses[0]


@pytest.mark.parametrize("text", ["🙂", "12:30\n* * *", " -- "])
def test_what_has_no_words_stays_as_it_is(translator: Translator, text: str) -> None:
    """Alone, where nothing is aligned and nothing doubtful, and beside a sentence."""
    alone, beside = translator.translate([text, f"Der Hund.\n{text}"], "en", "de", BEST)

    assert alone.text == text
    assert (alone.hypotheses[0].alignment().target, alone.hypotheses[0].tokens) == ([], [])
    assert alone.hypotheses[0].warnings(0.9) == []
    assert alone.hypotheses[0].quality.confidence == 1
    assert all(own.text.endswith(f"\n{text}") and len(own.parts) == 1 for own in beside.hypotheses)
    assert translator.score([(text, text), (f"Der Hund.\n{text}", "The dog.")], "en", "de")[0].length > 1


def test_what_has_no_words_cannot_say_what_it_must(translator: Translator) -> None:
    """Nor begin in a way; what it must not say, it does not say anyway."""
    for field in ("prefix", "include"):
        search = SearchConfig.model_validate({field: "dog" if field == "prefix" else ["dog"]})
        with pytest.raises(InputError, match=f"{field} asks for words, but the text has none to translate"):
            translator.translate(["🙂"], "en", "de", search)
    assert translator.translate(["🙂"], "en", "de", SearchConfig(exclude=("dog",)))[0].text == "🙂"


def test_a_word_is_as_sure_as_its_pieces_together(hypothesis: TextHypothesis) -> None:
    """The product of the probabilities of the pieces that have a character of it."""
    tokens, found = hypothesis.tokens, hypothesis.alignment().target
    pieces = [[t.log_prob for t in tokens if t.start < word.end and t.end > word.start] for word in found]

    assert hypothesis.word_confidences == pytest.approx([math.exp(sum(own)) for own in pieces])


def test_a_sentence_is_as_sure_as_its_pieces_and_its_end_on_average(hypothesis: TextHypothesis) -> None:
    """The geometric mean of their probabilities."""
    for part in hypothesis.parts:
        probs = [math.exp(log_prob) for log_prob in part.hypothesis.log_probs]

        assert part.hypothesis.pieces[-1] == END
        assert part.confidence == pytest.approx(math.prod(probs) ** (1 / len(part.hypothesis.pieces)))


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


TEXTS = ["Der Hund.", "Hallo! Wir fahren morgen nach Berlin, weil meine Schwester dort wohnt. Ja.", "Der\u00ad. \u200b"]


def test_what_was_translated_scores_what_it_scored(box: Translator) -> None:
    """Sentence by sentence, by `score` as by the search, where a text is cut into the pieces that the search wrote."""
    found = [(text, own) for text in TEXTS for own in box.translate([text], "en", "de", BEST)[0].hypotheses]
    scored = box.score([(text, own.text) for text, own in found], "en", "de")
    pairs = [(own, forced) for (_, own), forced in zip(found, scored, strict=True) if pieces(own) == pieces(forced)]

    assert len(pairs) > len(found) / 2
    for own, forced in pairs:
        assert forced.log_prob == pytest.approx(own.log_prob, abs=1e-3)
        assert forced.score == pytest.approx(own.score, abs=1e-4)
        assert starts(forced) == starts(own)


def pieces(hypothesis: TextHypothesis) -> list[list[int]]:
    return [part.hypothesis.pieces for part in hypothesis.parts]


def starts(hypothesis: TextHypothesis) -> list[tuple[int, int]]:
    return [(part.source_start, part.target_start) for part in hypothesis.parts]


def test_a_translation_of_fewer_sentences_is_scored_as_one(translator: Translator) -> None:
    """Nobody knows which sentence belongs to which."""
    scored = translator.score([("Der Hund. Tom schläft.", "the dog and Tom")], "en", "de")[0]

    assert len(scored.parts) == 1
    assert scored.parts[0].source.text == "Der Hund. Tom schläft."


@pytest.mark.parametrize("text", TEXTS)
def test_the_n_best_of_a_text_are_in_order(translator: Translator, text: str) -> None:
    """Also where its sentences differ in length, and those of its alternatives."""
    found = translator.translate([text], "en", "de", SearchConfig(max_length=12, n_best=5))[0].hypotheses

    assert [own.score for own in found] == sorted((own.score for own in found), reverse=True)


@pytest.mark.parametrize(("method", "count"), [("beam", 2), ("sample", 3)])
def test_a_text_is_one_alternative_however_it_was_cut(translator: Translator, method: str, count: int) -> None:
    """The best of a beam's; samples stay as they were drawn."""
    search = SearchConfig.model_validate({"method": method, "n_best": 3})
    job, cut = (
        translator.plan("Der Hund.", "de", "en", search),
        translator.tokenizer.encode_target("the dog sleeps").ids,
    )
    cuts = (translator.tokenizer.resample([cut], "target", 0.1, seed)[0] for seed in itertools.count())
    pieces = [cut, next(other for other in cuts if other != cut), translator.tokenizer.encode_target("the dog").ids]
    found = [
        Hypothesis(own, np.zeros(len(own), np.float32), np.zeros((len(own), len(job.sources[0])), np.float32), -number)
        for number, own in enumerate(pieces)
    ]
    hypotheses = translator.assemble(job, [found], search).hypotheses

    assert [own.text for own in hypotheses] == ["the dog sleeps", "the dog sleeps", "the dog"][-count:]
    assert [own.score for own in hypotheses] == [0, -1, -2] if count == 3 else [0, -2]


def test_no_translation_has_tags_or_control_characters(translator: Translator) -> None:
    """However wild the samples of an untrained model are: a line break would make two lines of one."""
    wild = SearchConfig(method="sample", n_best=10, temperature=5, seed=1, max_length=100)
    found = translator.translate(["Der Hund."] * 5, "en", "de", wild)

    assert not any(set(own.text) & set(map(chr, range(32))) for one in found for own in one.hypotheses)
    assert not any(token.piece.startswith("<2") for one in found for own in one.hypotheses for token in own.tokens)


@pytest.mark.parametrize("text", ["", " \u200b", "\ufeff", "\x00"])
def test_a_text_of_which_nothing_can_be_seen_is_refused(translator: Translator, text: str) -> None:
    """It would be translated from nothing."""
    with pytest.raises(InputError, match="text is empty; send at least one character that can be seen"):
        translator.translate([text], "en", "de")


def test_a_single_text_is_refused_where_a_list_is_wanted(translator: Translator) -> None:
    """It would be translated letter by letter."""
    with pytest.raises(InputError, match="give a list"):
        translator.translate("Hallo", "en", "de")


def test_alternatives_are_the_likeliest_pieces_in_order(translator: Translator, hypothesis: TextHypothesis) -> None:
    """As many as asked, or all that a text may have; these sum to 1; the piece that stands there is among them."""
    few, everything = (translator.alternatives(hypothesis, count) for count in (3, 100_000))

    assert [len(place) for place in few] == [3] * len(hypothesis.tokens)
    for token, place, whole in zip(hypothesis.tokens, few, everything, strict=True):
        assert whole[:3] == place
        assert [p for _, p in whole] == sorted((p for _, p in whole), reverse=True)
        assert sum(math.exp(p) for _, p in whole) == pytest.approx(1, abs=1e-4)
        assert dict(whole)[token.piece] == pytest.approx(token.log_prob, abs=1e-4)
        assert not {"<pad>", "<unk>", "<s>", "<2de>", "<2en>", "<0x0A>"} & dict(whole).keys()
        assert len(whole) == translator.tokenizer.target_vocabulary - 5 - 33


def test_the_score_of_a_text_is_that_of_its_sentences_weighed_by_their_pieces(tiny_folder: Path) -> None:
    """Of one sentence, its own. And source words stand where they say, also those of later sentences."""
    texts = ["Der Hund schläft.", "Der Hund. Und Tom weiß nicht."]
    one, two = Translator.load(tiny_folder).translate(texts, "en", "de", SearchConfig(max_length=8))
    parts = two.hypotheses[0].parts
    sizes = [len(part.source) for part in parts]

    assert one.score == one.hypotheses[0].parts[0].hypothesis.score
    assert len(parts) == 2
    assert two.score == pytest.approx(np.average([part.hypothesis.score for part in parts], weights=sizes))
    assert all(texts[1][word.start : word.end] == word.text for word in two.hypotheses[0].source_words)
