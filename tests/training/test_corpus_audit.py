"""What is counted and shown, but not dropped."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.audit import near_copies, other_languages
from training.corpus.records import TextPair
from training.corpus.sentences import fold

EN_DE = ("en", "de")
HELD_OUT = "The contract ends on the last day of the month, unless both sides agree otherwise."
NEAR = "The contract ends on the last day of the year, unless both sides agree otherwise."


def grams(text: str) -> set[str]:
    folded = fold(text)
    return {folded[start : start + 6] for start in range(len(folded) - 5)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NEAR, 1),
        (f"Note that «{HELD_OUT}» is the rule here.", 1),
        (HELD_OUT.upper(), 1),
        (HELD_OUT[: len(HELD_OUT) // 2], 0),
        ("Something else that has nothing to do with it, but is about as long.", 0),
    ],
)
def test_near_copies(text: str, found: int) -> None:
    """Most of the sentence, with a change or inside another; a part of it is none."""
    train = {"train.en-de.tsv": (EN_DE, [("Go.", "Geh."), (text, "Der Vertrag …"), ("Run.", "Lauf.")])}

    (finding,) = near_copies(train, {"en": [HELD_OUT, HELD_OUT, "Too short."]})

    assert (finding.checked, finding.found) == (1, found)
    assert [(example.line, example.detail[:12]) for example in finding.examples] == [(2, "The contract")] * found


def test_languages_are_apart() -> None:
    """A sentence is looked for on every side that is in its language, in whatever corpus."""
    train = {"a": (("fr", "en"), [("Le contrat …", NEAR)]), "b": (("de", "fr"), [(NEAR, "x")])}

    english, german = near_copies(train, {"en": [HELD_OUT], "de": [HELD_OUT]})

    assert [example.file for example in english.examples] == ["a"]
    assert [example.file for example in german.examples] == ["b"]
    assert english.text().splitlines()[0] == "1 of 1 dev and test sentences in en have a near copy in the training sets"


@given(seed=st.integers(0, 999))
def test_near_copies_are_those_of_a_full_comparison(seed: int) -> None:
    """The index finds what comparing every sentence with every other does."""
    rng = random.Random(seed)
    words = ["the", "old", "house", "contract", "ends", "today", "quietly", "without", "trouble", "garden"]
    sentences = [" ".join(rng.choices(words, k=rng.randint(3, 12))) for _ in range(12)]
    changed = [" ".join(w if rng.random() < 0.95 else "new" for w in sentence.split()) for sentence in sentences]
    held_out = [sentence for sentence in dict.fromkeys(sentences) if len(grams(sentence)) >= 20]

    (finding,) = near_copies({"x": (EN_DE, [(text, "") for text in changed])}, {"en": sentences})

    near = [s for s in held_out if any(len(grams(s) & grams(text)) >= 0.8 * len(grams(s)) for text in changed)]
    assert (finding.checked, finding.found) == (len(held_out), len(near))


GERMAN = "Das Haus am Ende der Straße ist sehr alt, sagt man."
FRENCH = "La maison au bout de la rue est très vieille, dit-on."


def test_other_languages() -> None:
    """Sentences in a language that a side should not have are counted, with their line; short ones are not judged."""
    pairs: list[TextPair] = [(f"The house at the end of the street is number {i}.", GERMAN) for i in range(20)]
    pairs[4] = (pairs[4][0], FRENCH)
    pairs[7] = (pairs[7][0], "La rue.")

    english, german = other_languages({"train.tsv": (EN_DE, pairs)})

    assert (english.checked, english.found, german.checked, german.found) == (20, 0, 19, 1)
    assert [(example.line, example.detail) for example in german.examples] == [(5, "looks like French")]


def test_unknown_languages_are_not_looked_for() -> None:
    """The detector has to know the language."""
    assert list(other_languages({"x": (("xx", "yy"), [(GERMAN, FRENCH)])})) == []


@pytest.mark.parametrize("languages", [("en", "de"), ("en-GB", "de-AT"), ("en-US", "de-CH")])
def test_a_region_makes_no_other_language(languages: tuple[str, str]) -> None:
    """English is English on both sides of the ocean; French is not."""
    pairs: list[TextPair] = [(f"The house at the end of the street is number {i}.", GERMAN) for i in range(20)]
    pairs[4] = (pairs[4][0], FRENCH)
    english, german = other_languages({"train.tsv": (languages, pairs)})

    assert (english.checked, english.found, german.checked, german.found) == (20, 0, 20, 1)
