"""Normalization: what it changes, and that it remembers where each character was."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmt.text.normalize import _LAST_PLANES, Form, NormalizedText, normalize

FORMS: list[Form] = ["nfc", "nfkc", "none"]
DROPPED = "\u200b\ufeff\u00ad\x00\x07\x7f\x9f"

# Drawn from all of Unicode, characters hardly ever meet a neighbour that they compose with; so most are drawn from
# those that normalization changes, moves or joins, and from those that the code treats in a way of their own.
_RESTLESS = [
    c
    for c in map(chr, range(sys.maxunicode + 1))
    if not 0xAC00 <= ord(c) <= 0xD7A3
    and (unicodedata.combining(c) or unicodedata.decomposition(c) or 0x1100 <= ord(c) <= 0x11FF)
]
_JAMO = [chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A7, 0x11C3))]
texts = st.lists(
    st.one_of(
        st.sampled_from(_RESTLESS),
        st.sampled_from(_JAMO),
        st.sampled_from([*DROPPED, *" \t\n\r\x1c\x85\xa0\u2003\u2028\u3000", "\u2581", "\ud800", "\udfff"]),
        st.sampled_from([*"aeiouAEXn_", *"가각", *"かカｶﾊ", "\u0301", "\u0327", "\u0308", "\u3099", "ﾞ", "ﾟ"]),
        st.characters(),
    ),
    max_size=12,
).map("".join)


def expected_text(text: str, form: Form) -> str:
    """What normalization promises, said another way: on the whole text at once, without spans."""
    kept = "".join(c for c in text if c.isspace() or not (c in DROPPED or unicodedata.category(c) == "Cc"))
    legal = "".join("\ufffd" if unicodedata.category(c) == "Cs" else c for c in kept.replace("\u2581", "_"))
    composed = legal if form == "none" else unicodedata.normalize(form.upper(), legal)
    return " ".join(composed.split())


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
@example(text="e\u00ad\u0301")
@example(text="ｶﾞﾊﾟ")
@example(text="\u1112\u1161\u11ab")
@example(text="ﾡￂﾤ")
@example(text="a\u0327\u0301 \u0301\u0327")
@example(text="\u00a8\u037a")
@example(text="\u00a8\u0f73")
def test_text_is_what_python_composes_on_the_whole_text(text: str, form: Form) -> None:
    """Cutting the text into clusters changes nothing: the result is that of `unicodedata` on all of it."""
    assert normalize(text, form).text == expected_text(text, form)


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
def test_normalizing_twice_changes_nothing(text: str, form: Form) -> None:
    """The normalized text normalizes to itself, each character standing for itself."""
    once = normalize(text, form).text
    twice = normalize(once, form)

    assert twice.text == once


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
def test_there_is_a_span_for_each_character_in_order_and_inside_the_text(text: str, form: Form) -> None:
    """Spans are as many as characters, never empty, never beyond the text, and neither end goes back."""
    normalized = normalize(text, form)
    starts, ends = [s for s, _ in normalized.spans], [e for _, e in normalized.spans]

    assert len(normalized.spans) == len(normalized.text)
    assert all(0 <= start < end <= len(text) for start, end in normalized.spans)
    assert starts == sorted(starts)
    assert ends == sorted(ends)


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
def test_each_character_comes_out_of_its_own_span(text: str, form: Form) -> None:
    """What the caller wrote in the span of a character, normalized alone, contains that character."""
    normalized = normalize(text, form)

    for character, (start, end) in zip(normalized.text, normalized.spans, strict=True):
        # Between two signs a space is not stripped.
        assert (
            character in normalize(text[start:end], form).text
            or character in normalize(f"!{text[start:end]}!", form).text
        )


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
def test_whatever_is_outside_all_spans_is_invisible(text: str, form: Form) -> None:
    """No character of the caller is lost but white space at the ends and what is dropped."""
    covered = {i for start, end in normalize(text, form).spans for i in range(start, end)}
    lost = "".join(c for i, c in enumerate(text) if i not in covered)

    assert normalize(lost, form).text == ""


@pytest.mark.parametrize("dropped", DROPPED)
def test_what_cannot_be_seen_is_dropped(dropped: str) -> None:
    """Control characters, zero-width spaces, byte-order marks and soft hyphens leave no trace."""
    assert normalize(f"{dropped}über{dropped}mut{dropped}").text == "übermut"


def test_soft_hyphen_between_letter_and_accent_keeps_them_one() -> None:
    """The accent finds its letter across the hyphen, and the span holds all three."""
    assert normalize("e\u00ad\u0301!") == NormalizedText("é!", [(0, 3), (3, 4)])


def test_spaces_of_every_kind_become_one_whose_span_is_the_run() -> None:
    """Tabs, line breaks and wide spaces are one space; those at the ends go."""
    assert normalize(" a\t\n\u3000b\x85") == NormalizedText("a b", [(1, 2), (2, 5), (5, 6)])


@pytest.mark.parametrize("surrogate", ["\ud800"])
def test_lone_surrogates_become_the_replacement_character(surrogate: str) -> None:
    """What no UTF-8 can hold is made into U+FFFD, so that the result can be sent on."""
    assert normalize(f"a{surrogate}b").text == "a\ufffdb"


def test_hangul_jamo_compose_into_syllables() -> None:
    """Three jamo are one syllable, with the span of the three."""
    assert normalize("\u1112\u1161\u11ab\u1100\u1173\u11af") == NormalizedText("한글", [(0, 3), (3, 6)])


def test_half_width_kana_keep_their_width_under_nfc() -> None:
    """NFC does not judge width: only NFKC replaces a character by a like one."""
    assert normalize("ｶﾞ").text == "ｶﾞ"


def test_half_width_kana_compose_under_nfkc() -> None:
    """The voiced mark joins the syllable before it."""
    assert normalize("ｶﾞﾊﾟ", "nfkc") == NormalizedText("ガパ", [(0, 2), (2, 4)])


def test_combining_marks_are_put_in_canonical_order() -> None:
    """A cedilla goes before an accent, whichever was typed first."""
    assert normalize("a\u0301\u0327").text == normalize("a\u0327\u0301").text


def test_a_ligature_is_several_characters_with_one_span_under_nfkc() -> None:
    """Both letters of `ﬁ` came from the one character."""
    assert normalize("ﬁx", "nfkc") == NormalizedText("fix", [(0, 1), (0, 1), (1, 2)])


def test_the_sign_for_a_space_becomes_an_underscore() -> None:
    """SentencePiece would turn U+2581 into a space."""
    assert normalize("a\u2581b").text == "a_b"


@given(text=texts)
def test_the_span_of_all_is_from_the_first_character_to_the_last(text: str) -> None:
    """`original_span` of the whole text runs from the start of the first span to the end of the last."""
    normalized = normalize(f"x{text}y")

    assert normalized.original_span(0, len(normalized.text)) == (0, len(text) + 2)


@pytest.mark.parametrize(("at", "place"), [(0, 1), (1, 2), (2, 4), (5, 5)])
def test_an_empty_span_stays_empty(at: int, place: int) -> None:
    """Between two characters there is nothing, and it stands where the next one does, or after the last."""
    normalized = normalize(" a  b")

    assert normalized.original_span(at, at) == (place, place)


def test_an_empty_text_has_its_empty_span_at_the_start() -> None:
    """There is no character to stand at, so the place is 0."""
    assert normalize(" \n").original_span(0, 0) == (0, 0)


def test_no_character_decomposes_beyond_those_that_are_looked_at() -> None:
    """In the Unicode tables of this Python; to look at all of them takes a second of the first request."""
    assert not any(unicodedata.decomposition(chr(code)) for code in range(_LAST_PLANES, 0x110000))
