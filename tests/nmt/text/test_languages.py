"""Names of languages, and telling which one a text is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import InputError
from nmt.text.languages import detect, is_known, name

GERMAN = "Das ist ein Satz, den wohl niemand für einen anderen als einen deutschen hält."
ENGLISH = "This is a sentence that nobody would take for anything but English."


@pytest.mark.parametrize(
    ("code", "wanted"), [("de", "German"), ("en", "English"), ("EN", "English"), ("ja", "Japanese")]
)
def test_a_known_code_has_an_english_name(code: str, wanted: str) -> None:
    """Readers see names rather than codes, however the code is written."""
    assert name(code) == wanted


@pytest.mark.parametrize(("code", "known"), [("de", True), ("de-AT", True), ("tlh", False), ("xx", False), ("", False)])
def test_what_can_be_detected(code: str, known: bool) -> None:
    """Only languages of the detector, with or without a region."""
    assert is_known(code) is known


def test_a_variety_has_the_name_of_its_language() -> None:
    """What follows the hyphen is a country or a script."""
    assert name("de-AT") == "German"


@pytest.mark.parametrize("code", ["tlh", "x-made-up", "", "__doc__"])
def test_an_unknown_code_is_its_own_name(code: str) -> None:
    """A model may know languages that the list of names does not."""
    assert name(code) == code


@pytest.mark.parametrize(("text", "wanted"), [(GERMAN, "de"), (ENGLISH, "en")])
def test_the_language_of_a_plain_sentence_is_found(text: str, wanted: str) -> None:
    """A sentence that leaves no doubt is told with more than an even chance."""
    code, confidence = detect(text, ["en", "de"])

    assert code == wanted
    assert 0.5 < confidence <= 1


@given(text=st.text(max_size=30))
def test_any_text_gets_a_candidate_and_a_share_of_certainty(text: str) -> None:
    """Digits, emoji and nothing at all are somebody's language, if not for sure."""
    code, confidence = detect(text, ["de", "en"])

    assert code in {"de", "en"}
    assert 0 <= confidence <= 1


def test_the_order_of_candidates_does_not_matter() -> None:
    """The same candidates make the same detector."""
    assert detect(GERMAN, ["de", "en"]) == detect(GERMAN, ["en", "de"])


def test_a_variety_is_detected_as_the_candidate_that_was_given() -> None:
    """The answer is one of the candidates, so that the caller can look the model up by it."""
    assert detect(GERMAN, ["en", "de-AT"])[0] == "de-AT"


@pytest.mark.parametrize("candidate", ["de", "tlh"])
def test_a_single_candidate_is_the_answer(candidate: str) -> None:
    """There is nothing to choose, whatever the text, and whether or not the detector knows the language."""
    assert detect(ENGLISH, [candidate]) == (candidate, 1.0)


def test_candidates_that_cannot_be_detected_are_passed_over() -> None:
    """The one that the detector knows is left."""
    assert detect(ENGLISH, ["tlh", "de"]) == ("de", 1.0)


def test_candidates_of_which_none_can_be_detected_are_refused() -> None:
    """The message names them and says what to do; the field is the source's."""
    with pytest.raises(InputError) as caught:
        detect(ENGLISH, ["tlh", "qya"])

    assert str(caught.value) == "source is auto, but none of tlh, qya can be detected; name it"
    assert caught.value.field == "source"
