"""Scores are sacreBLEU's own, for any number of references, with intervals that make sense."""

from typing import get_args

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_ter import TercomTokenizer

from nmt.errors import InputError
from nmt.scoring.metrics import Tokenization, corpus_bleu, corpus_scores, sentence_scores
from nmt.scoring.risk import by_expected_utility

HYPOTHESES = [
    "The cat sat on the mat and looked at the dog.",
    "It is raining, and nobody has an umbrella.",
    "He has never been to Berlin in his life.",
]
REFERENCES = [
    ["A cat sat on the mat and watched the dog.", "The cat was sitting on the mat and looked at a dog."],
    ["It rains and nobody has got an umbrella."],
    ["Never in his life has he been to Berlin.", "He was never in Berlin.", "He has never seen Berlin in his life."],
]
METRICS = [("bleu", BLEU), ("chrf", CHRF), ("ter", TER)]

sentences = st.lists(st.sampled_from("the a cat dog sees hears old . !".split()), min_size=1, max_size=9).map(" ".join)
pairs = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=2, max_size=5)


@pytest.mark.parametrize(("name", "best"), [("bleu", 100), ("chrf", 100), ("ter", 0)])
def test_a_translation_that_is_the_reference_is_perfect(name: str, best: float) -> None:
    """BLEU and chrF are 100, TER, which counts edits, is 0."""
    score = corpus_scores(HYPOTHESES, [[text] for text in HYPOTHESES])[name]

    assert score.score == pytest.approx(best)


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_scores_with_one_reference_are_those_of_sacrebleu(name: str, metric: type[BLEU | CHRF | TER]) -> None:
    """Nothing is added to what sacreBLEU computes."""
    first = [own[0] for own in REFERENCES]

    score = corpus_scores(HYPOTHESES, [[text] for text in first])[name]

    assert score.score == metric().corpus_score(HYPOTHESES, [first]).score


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_scores_with_uneven_references_are_those_of_sacrebleu(name: str, metric: type[BLEU | CHRF | TER]) -> None:
    """A sentence may have fewer references than another; sacreBLEU reads `None` where one has no more."""
    streams = [
        [REFERENCES[0][0], REFERENCES[1][0], REFERENCES[2][0]],
        [REFERENCES[0][1], None, REFERENCES[2][1]],
        [None, None, REFERENCES[2][2]],
    ]

    score = corpus_scores(HYPOTHESES, REFERENCES)[name]

    assert score.score == metric().corpus_score(HYPOTHESES, streams).score


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_a_score_says_how_it_was_computed(name: str, metric: type[BLEU | CHRF | TER]) -> None:
    """The signature is sacreBLEU's, its version and the number of references included."""
    own = metric()
    own.corpus_score(HYPOTHESES, [HYPOTHESES])

    signature = corpus_scores(HYPOTHESES, [[text] for text in HYPOTHESES])[name].signature

    assert signature == str(own.get_signature())
    assert f"version:{sacrebleu.__version__}" in signature
    assert "nrefs:1" in signature


@pytest.mark.parametrize("tokenize", get_args(Tokenization))
def test_each_tokenization_is_that_of_sacrebleu(tokenize: Tokenization) -> None:
    """BLEU is sacreBLEU's of that name and says so; the others do not depend on it."""
    rows = [[text] for text in ("The cat's mat, 3.5 m.", "漢字 and kana", "a-b")]
    texts = ["The cats mat, 3,5 m.", "漢字and kana", "a-b c"]
    expected = BLEU(tokenize=tokenize).corpus_score(texts, [[text for (text,) in rows]])

    scores = corpus_scores(texts, rows, tokenize=tokenize)

    assert scores["bleu"].score == expected.score
    assert f"tok:{tokenize}" in scores["bleu"].signature
    assert corpus_bleu(texts, rows, tokenize) == scores["bleu"]
    assert (scores["ter"] == corpus_scores(texts, rows)["ter"]) == (tokenize != "zh")
    assert f"asian:{'yes' if tokenize == 'zh' else 'no'}" in scores["ter"].signature


def test_tokenized_text_is_scored_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """sacreBLEU warns when a hundred lines end with ` .`; with `none` that is how they are wanted."""
    corpus_scores(["a cat ."] * 100, [["a dog ."]] * 100, tokenize="none")

    assert not caplog.records


def test_the_signature_says_when_counts_of_references_vary() -> None:
    """Scores with uneven references are not comparable with others, and say so."""
    assert "nrefs:var" in corpus_scores(HYPOTHESES, REFERENCES)["bleu"].signature


def test_without_bootstrap_there_is_no_interval() -> None:
    """An interval costs a thousand scores, so it is made when asked for."""
    score = corpus_scores(HYPOTHESES, REFERENCES)["bleu"]

    assert (score.low, score.high) == (None, None)


def test_a_single_sentence_has_no_interval() -> None:
    """There is nothing to draw from."""
    score = corpus_scores(HYPOTHESES[:1], REFERENCES[:1], bootstrap=True)["bleu"]

    assert (score.low, score.high) == (None, None)


@settings(max_examples=10)
@given(rows=pairs)
def test_an_interval_contains_the_score_and_stays_within_bounds(rows: list[tuple[str, list[str]]]) -> None:
    """No interval excludes the score that it is about, or promises less than 0 or, but for TER, more than 100."""
    scores = corpus_scores([h for h, _ in rows], [own for _, own in rows], bootstrap=True)

    for name, score in scores.items():
        assert 0 <= bound(score.low) <= score.score <= bound(score.high)
        assert name == "ter" or bound(score.high) <= 100 + 1e-9


def test_a_perfect_score_is_certain() -> None:
    """However sentences are drawn, all are perfect."""
    score = corpus_scores(HYPOTHESES, [[text] for text in HYPOTHESES], bootstrap=True)["bleu"]

    assert (score.low, score.high) == (pytest.approx(100), pytest.approx(100))


def test_an_interval_does_not_change_the_score() -> None:
    """The score is that of the test set itself, not the mean over samples of it."""
    assert (
        corpus_scores(HYPOTHESES, REFERENCES, bootstrap=True)["chrf"].score
        == corpus_scores(HYPOTHESES, REFERENCES)["chrf"].score
    )


def test_bleu_alone_is_that_of_the_three() -> None:
    """`corpus_bleu` is the short way to the same score."""
    assert corpus_bleu(HYPOTHESES, REFERENCES) == corpus_scores(HYPOTHESES, REFERENCES)["bleu"]


def test_scores_of_a_sentence_are_those_of_sacrebleu() -> None:
    """BLEU counts n-grams only as far as the sentence is long."""
    scores = sentence_scores(HYPOTHESES[0], REFERENCES[0])

    assert scores["bleu"].score == sacrebleu.sentence_bleu(HYPOTHESES[0], REFERENCES[0]).score
    assert scores["chrf"].score == sacrebleu.sentence_chrf(HYPOTHESES[0], REFERENCES[0]).score
    assert "eff:yes" in scores["bleu"].signature


def test_a_short_sentence_can_be_perfect() -> None:
    """Two words have no 4-grams, and are not blamed for it."""
    assert sentence_scores("Good morning", ["Good morning"])["bleu"].score == pytest.approx(100)


def test_counts_that_differ_are_refused() -> None:
    """The message gives both counts; the field is that of the references."""
    with pytest.raises(InputError) as caught:
        corpus_scores(HYPOTHESES, REFERENCES[:2])

    assert str(caught.value) == "there are 2 lists of references for 3 translations; one each is wanted"
    assert caught.value.field == "references"


def test_a_translation_without_reference_is_refused() -> None:
    """The message says which."""
    with pytest.raises(InputError) as caught:
        corpus_scores(HYPOTHESES, [["a"], [], ["b"]])

    assert str(caught.value) == "translation 1 has no reference; at least one is wanted"


def test_an_empty_set_is_refused() -> None:
    """No score can be given for nothing."""
    with pytest.raises(InputError, match="no translations to score"):
        corpus_scores([], [])


def test_an_empty_translation_is_scored() -> None:
    """A model that said nothing gets nothing for it, rather than an error."""
    assert corpus_scores(["", *HYPOTHESES[1:]], REFERENCES)["bleu"].score < corpus_bleu(HYPOTHESES, REFERENCES).score


def bound(value: float | None) -> float:
    """A bound that has to be there."""
    assert value is not None
    return value


def test_scoring_can_be_of_some_metrics_and_keeps_nobodys_text() -> None:
    """sacreBLEU's tokenizers would keep it for the life of the process."""
    scores = corpus_scores(HYPOTHESES, REFERENCES, metrics=("bleu", "ter"))

    assert scores == {name: corpus_scores(HYPOTHESES, REFERENCES)[name] for name in ("bleu", "ter")}
    assert by_expected_utility(["a cat", "a dog"], [1, 2], "bleu") == [1, 0]
    assert Tokenizer13a.__call__.cache_info().currsize == 0
    assert TercomTokenizer.__call__.cache_info().currsize == 0
