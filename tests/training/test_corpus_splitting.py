"""Held-out sets that share no sentence with the training set."""

from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nmt.errors import DataError
from training.corpus.records import TextPair
from training.corpus.splitting import Sentences, collect_references, components, fold, split

# Few different sentences, in variants that folding makes equal: the pairs hang together in many ways.
words = st.builds(lambda i, form: form.format(f"word{i}"), st.integers(0, 60), st.sampled_from(["{}", "{}!", "«{}»"]))
corpora = st.lists(st.tuples(words, words), min_size=10, max_size=60)


def folded(pairs: list[TextPair], side: int) -> set[str]:
    return {fold(pair[side]) for pair in pairs}


@given(pairs=corpora, seed=st.integers(0, 5))
def test_no_leak(pairs: list[TextPair], seed: int) -> None:
    """No sentence of one set, on either side, stands in another; nothing is lost, and the sizes are as asked."""
    try:
        parts = split(pairs, 3, 2, seed)
    except DataError:
        assume(False)

    assert sorted(parts.train + parts.dev + parts.test) == sorted(pairs)
    for one, other in combinations((parts.train, parts.dev, parts.test), 2):
        assert not any(folded(one, side) & folded(other, side) for side in (0, 1))
    assert len(collect_references(parts.dev)) == 3
    assert len(collect_references(parts.test)) == 2


def test_chains_hang_together() -> None:
    """Pairs are linked by a shared source or target, over any number of steps."""
    pairs = [("a", "1"), ("x", "9"), ("A!", "2"), ("b", "2."), ("y", "8")]

    assert components(pairs) == [[0, 2, 3], [1], [4]]


def test_sides_are_apart() -> None:
    """A source that equals another pair's target links nothing."""
    assert components([("a", "b"), ("b", "c")]) == [[0], [1]]


def test_split_depends_on_the_seed_alone() -> None:
    """The same seed gives the same sets, another one others."""
    pairs = [(f"source {i}", f"target {i}") for i in range(100)]

    assert split(pairs, 5, 5, seed=1) == split(pairs, 5, 5, seed=1)
    assert split(pairs, 5, 5, seed=1).dev != split(pairs, 5, 5, seed=2).dev


def test_train_keeps_the_order_of_the_corpus() -> None:
    """What remains is in the order in which it came."""
    train = split([(f"s{i:02}", f"t{i:02}") for i in range(50)], 5, 5, seed=1).train

    assert train == sorted(train)


def test_more_than_half() -> None:
    """A split that would leave less than half to train on is refused."""
    with pytest.raises(DataError, match=r"dev_size \+ test_size is 6, more than half of the 10 pairs; lower them, or"):
        split([(f"s{i}", f"t{i}") for i in range(10)], 3, 3, seed=1)


def test_all_hangs_together() -> None:
    """A corpus whose sentences are all linked cannot be split."""
    with pytest.raises(DataError, match=r"dev_size is 3, but only 0 sentences can be held out: .* lower dev_size"):
        split([(f"s{i}", "same") for i in range(20)], 3, 3, seed=1)


def test_fold() -> None:
    """Case, punctuation, spaces and compatible forms do not make a sentence another; signs alone stay signs."""
    assert fold("Don’t  STOP,\u00a0now!") == fold("«dont stop ｎｏｗ»") == "dont stop now"
    assert fold("Straße") == fold("STRASSE")
    assert fold("un\u00adable\u200b to\ngo\x07") == "unable to go"
    assert fold("?!") == "?!"


def test_barred_pairs_stay() -> None:
    """What is barred, and what hangs together with it, is never held out."""
    pairs = [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("d", "5"), ("e", "6"), ("f", "7"), ("g", "8")]

    parts = split(pairs, 2, 1, seed=1, barred=[("a", "1"), ("d", "5"), ("e", "6"), ("f", "7")])

    assert {*parts.dev, *parts.test} == {("b", "3"), ("c", "4"), ("g", "8")}


def test_sentences() -> None:
    """A pair is known if either of its sides is, in its own language, whichever pair that sentence came with."""
    sentences = Sentences()
    english_german = sentences.of(("en", "de"))

    assert ("Go.", "Geh.") not in english_german
    sentences.add(("de", "en"), [("Geh.", "Go.")])
    assert ("go", "Lauf!") in english_german
    assert ("Walk.", "GEH") in english_german
    assert ("Geh.", "Go.") not in english_german
    assert ("Va.", "go") in sentences.of(("fr", "en"))
    assert ("Go.", "Va.") in sentences.of(("en-GB", "fr"))


def test_collect_references() -> None:
    """A row a source, in order of appearance, with each target once."""
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "1")]

    assert collect_references(pairs) == [("a", ["1", "3"]), ("b", ["2"])]
