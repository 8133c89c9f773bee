"""Terms of a glossary in both texts, held against plain cases."""

import numpy as np
import pytest

from nmt.glossary import Term, find_terms, place_terms
from nmt.text.normalize import normalize
from nmt.text.tokenizer import Pieces


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Der Hund schläft.", ["Hund"]),
        ("Der Schäferhund und die Hunde.", []),
        ("Der HUND schläft.", []),
        ("Haus, altes Haus am See, Haus.", ["Haus", "Haus am See", "Haus"]),
        ("Rot ist rot.", ["Rot", "rot"]),
        ("子犬と犬", ["犬", "犬"]),
        ("𠮷犬々", ["犬"]),
        ("Haus-Hund", ["Haus", "Hund"]),
    ],
)
def test_terms_are_found_as_whole_words(text: str, found: list[str]) -> None:
    """The longest, in the case of the glossary or at the beginning of a sentence."""
    glossary = dict.fromkeys(["Hund", "Haus", "Haus am See", "rot", "犬"], "x")
    terms = find_terms(normalize(text), glossary)

    assert [text[term.start : term.end] for term in terms] == found


def test_places_are_those_in_the_text_that_was_sent() -> None:
    """Whatever normalization has made shorter."""
    text = "Scho\u0308n:  das   alte\u00ad Haus"
    (term,) = find_terms(normalize(text), {"alte Haus": "old house"})

    assert text[term.start : term.end] == "alte\u00ad Haus"
    assert (term.source, term.target) == ("alte Haus", "old house")


def test_of_several_translations_the_one_that_looks_at_the_term_counts() -> None:
    """For each place of the term on its own."""
    source = Pieces("rot rot", [5, 5, 3], ["▁rot", "▁rot", "</s>"], [(0, 3), (4, 7), (7, 7)])
    target = Pieces(
        "red red reds", [6, 6, 7, 3], ["▁red", "▁red", "▁reds", "</s>"], [(0, 3), (4, 7), (8, 12), (12, 12)]
    )
    weights = np.array([[0.1, 0.9, 0], [0.7, 0.3, 0], [0.9, 0.1, 0], [0, 0, 1]], dtype=np.float32)
    placed = place_terms([Term("rot", "red", 0, 3), Term("rot", "red", 4, 7)], source, target, weights)

    assert [(own.source.start, own.target.start) for own in placed] == [(0, 4), (4, 0)]


@pytest.mark.parametrize(
    ("looks", "found"), [([0.8, 0.2], [("Auto", 0)]), ([0.2, 0.8], [("Wagen", 0)])], ids=["first", "second"]
)
def test_a_translation_belongs_to_the_term_that_it_looks_at_most(looks: list[float], found: list[object]) -> None:
    """Another one that wants the same is left out, as nothing else translates it."""
    source = Pieces("Auto Wagen", [5, 6, 3], ["▁Auto", "▁Wagen", "</s>"], [(0, 4), (5, 10), (10, 10)])
    target = Pieces("Vehicle", [7, 3], ["▁Vehicle", "</s>"], [(0, 7), (7, 7)])
    weights = np.array([[*looks, 0], [0, 0, 1]], dtype=np.float32)
    placed = place_terms([Term("Auto", "vehicle", 0, 4), Term("Wagen", "vehicle", 5, 10)], source, target, weights)

    assert [(own.source.text, own.target.start) for own in placed] == found


def test_a_term_whose_place_another_looks_at_more_has_the_next_one() -> None:
    """As long as there is one."""
    source = Pieces("rot rot", [5, 5, 3], ["▁rot", "▁rot", "</s>"], [(0, 3), (4, 7), (7, 7)])
    target = Pieces("red red", [6, 6, 3], ["▁red", "▁red", "</s>"], [(0, 3), (4, 7), (7, 7)])
    weights = np.array([[0.4, 0.6, 0], [0.3, 0.1, 0], [0, 0, 1]], dtype=np.float32)
    placed = place_terms([Term("rot", "red", 0, 3), Term("rot", "red", 4, 7)], source, target, weights)

    assert [(own.source.start, own.target.start) for own in placed] == [(0, 4), (4, 0)]
