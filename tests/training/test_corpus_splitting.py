"""Held-out sets that share no sentence with the training set."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nmt.errors import DataError
from training.corpus.records import TextPair
from training.corpus.sentences import Sentences, fold
from training.corpus.splitting import collect_references, components, split

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

    train = list(parts.train(pairs))
    assert sorted(train + parts.dev + parts.test) == sorted(pairs)
    for one, other in combinations((train, parts.dev, parts.test), 2):
        assert not any(folded(one, side) & folded(other, side) for side in (0, 1))
    assert len(collect_references(parts.dev)) == 3
    assert len(collect_references(parts.test)) == 2


@given(pairs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60))
def test_components(pairs: list[tuple[int, int]]) -> None:
    """Two rows have the same first one exactly if shared sources and targets lead from one to the other."""
    sources, targets = (np.array([pair[side] for pair in pairs], np.uint64) for side in (0, 1))
    expected = list(range(len(pairs)))
    for _ in pairs:
        for one, other in product(range(len(pairs)), repeat=2):
            if pairs[one][0] == pairs[other][0] or pairs[one][1] == pairs[other][1]:
                expected[one] = min(expected[one], expected[other])

    assert components(sources, targets).tolist() == expected


def test_chains_stay_together() -> None:
    """Pairs are linked by a shared source or target, folded, over any number of steps; the sides are apart."""
    chain = [("a", "1"), ("A!", "2"), ("b", "2."), ("b", "c")]
    pairs = [*chain, *[(f"x{i}", f"y{i}") for i in range(9)], ("2", "a")]

    parts = [split(pairs, 4, 2, seed) for seed in range(20)]

    for part in parts:
        assert {len(set(chain) & set(own)) for own in (part.dev, part.test)} <= {0, 4}
    assert any(len(set(chain) & set(part.dev)) == 4 for part in parts)
    assert any(("2", "a") in part.test for part in parts)


def test_split_depends_on_the_seed_alone() -> None:
    """The same seed gives the same sets, another one others."""
    pairs = [(f"source {i}", f"target {i}") for i in range(100)]

    assert split(pairs, 5, 5, seed=1) == split(pairs, 5, 5, seed=1)
    assert split(pairs, 5, 5, seed=1).dev != split(pairs, 5, 5, seed=2).dev


def test_train_keeps_the_order_of_the_corpus() -> None:
    """What remains is in the order in which it came."""
    pairs = [(f"s{i:02}", f"t{i:02}") for i in range(50)]
    train = list(split(pairs, 5, 5, seed=1).train(pairs))

    assert len(train) == 40
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

    barred = Sentences()
    barred.add(("en", "de"), [("A!", "x"), ("d", "x"), ("y", "6"), ("f", "7")])
    parts = split(pairs, 2, 1, seed=1, barred=barred.of(("en", "de")))

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
