"""The evaluation of a test set: its parts are the set, and its scores are those of the parts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.errors import InputError
from nmt.scoring.evaluation import evaluate
from nmt.scoring.metrics import corpus_bleu, corpus_scores


def made_up(lengths: list[int]) -> tuple[list[str], list[str], list[list[str]]]:
    """Sources of so many words, translations, and references that some of them miss."""
    sources = [" ".join(["wort"] * length) for length in lengths]
    hypotheses = [f"the word number {i} is said {length} times" for i, length in enumerate(lengths)]
    references = [[text if i % 2 else f"indeed {text} over"] for i, text in enumerate(hypotheses)]
    return sources, hypotheses, references


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(0, 90), min_size=1, max_size=12))
def test_buckets_divide_the_set(lengths: list[int]) -> None:
    """Each sentence is in one bucket, none is left out, an empty source neither, and no bucket is empty."""
    buckets = evaluate(*made_up(lengths), bootstrap=False).by_length

    assert sum(bucket.sentences for bucket in buckets) == len(lengths)
    assert all(bucket.sentences for bucket in buckets)
    assert [b.shortest for b in buckets] == sorted({b.shortest for b in buckets})


@pytest.mark.parametrize(
    ("length", "shortest", "longest"), [(1, 1, 5), (5, 1, 5), (6, 6, 10), (60, 41, 60), (61, 61, None), (900, 61, None)]
)
def test_a_sentence_is_in_the_bucket_that_names_its_length(length: int, shortest: int, longest: int | None) -> None:
    """Both ends of a bucket belong to it, and the last has no end."""
    (bucket,) = evaluate(*made_up([length]), bootstrap=False).by_length

    assert (bucket.shortest, bucket.longest) == (shortest, longest)


def test_the_score_of_a_bucket_is_that_of_its_sentences() -> None:
    """Sentences of other lengths have no part in it."""
    sources, hypotheses, references = made_up([3, 35, 4, 33, 31])

    short, long = evaluate(sources, hypotheses, references, bootstrap=False).by_length

    assert short.bleu == corpus_bleu([hypotheses[0], hypotheses[2]], [references[0], references[2]]).score
    assert long.bleu == corpus_bleu([hypotheses[i] for i in (1, 3, 4)], [references[i] for i in (1, 3, 4)]).score


@pytest.mark.parametrize("bootstrap", [True, False])
def test_the_whole_is_scored_as_a_corpus(bootstrap: bool) -> None:
    """The three scores, and their intervals if asked, are those of `corpus_scores`."""
    sources, hypotheses, references = made_up([3, 8, 21])

    evaluation = evaluate(sources, hypotheses, references, bootstrap)

    assert {"bleu": evaluation.bleu, "chrf": evaluation.chrf, "ter": evaluation.ter} == corpus_scores(
        hypotheses, references, bootstrap
    )


def test_the_tokenization_that_is_asked_for_is_used_throughout() -> None:
    """For the whole and for each length."""
    sources, hypotheses, references = made_up([3, 8, 21])
    texts = [text + "!" for text in hypotheses]

    evaluation = evaluate(sources, texts, references, bootstrap=False, tokenize="none")

    assert evaluation.bleu == corpus_bleu(texts, references, "none")
    assert evaluation.by_length[0].bleu == corpus_bleu(texts[:1], references[:1], "none").score


def test_sources_that_are_not_as_many_as_translations_are_refused() -> None:
    """Lengths would be those of other sentences; the message gives both counts."""
    sources, hypotheses, references = made_up([3, 8, 21])

    with pytest.raises(InputError) as caught:
        evaluate(sources[:2], hypotheses, references)

    assert str(caught.value) == "there are 2 sources for 3 translations; one each is wanted"
    assert caught.value.field == "sources"


def test_references_that_are_not_as_many_as_translations_are_refused() -> None:
    """The message of `corpus_scores` comes through."""
    sources, hypotheses, references = made_up([3, 8, 21])

    with pytest.raises(InputError, match="there are 2 lists of references for 3 translations"):
        evaluate(sources, hypotheses, references[:2])
