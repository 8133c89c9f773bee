"""Cutting texts into sentences and putting them together again without losing anything between them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nmt.text.normalize import normalize
from nmt.text.sentences import Sentence, join, split

LANGUAGES = st.sampled_from(["de", "en", "fr", "ja", "xx"])
LONGEST = 400
LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"

texts = st.lists(
    st.one_of(
        st.sampled_from(
            ["Dr. Müller", "z. B.", "Er kam.", "Hello!", "Why?", "3.50", "…", "。", "「はい。」", '"No."', "U.S."]
        ),
        st.sampled_from([" ", "  ", "\t", "\xa0", "\u3000", "\r\n", "\n\n", *LINE_BREAKS]),
        st.text(max_size=6),
        st.integers(1, 900).map(lambda n: "a" * n),
        st.integers(1, 300).map(lambda n: "wort, " * n),
    ),
    max_size=10,
).map("".join)


@given(text=texts, language=LANGUAGES)
@example(text="\n Eins.\r\n\n\tZwei!  Drei \n", language="de")
def test_joining_the_sentences_gives_the_text(text: str, language: str) -> None:
    """What stands between the sentences comes back, every space and line break of it."""
    sentences = split(text, language)

    joined, starts = join(text, sentences, [sentence.text for sentence in sentences])

    assert joined == text
    assert starts == [sentence.start for sentence in sentences]


@given(text=texts, language=LANGUAGES)
def test_a_sentence_stands_where_it_says(text: str, language: str) -> None:
    """`text[start:end]` is the sentence, and sentences follow each other without overlap."""
    sentences = split(text, language)
    bounds = [bound for sentence in sentences for bound in (sentence.start, sentence.end)]

    assert all(text[s.start : s.end] == s.text for s in sentences)
    assert bounds == sorted(bounds)


@given(text=texts, language=LANGUAGES)
def test_between_sentences_there_is_no_letter(text: str, language: str) -> None:
    """Everything that can be translated is in a sentence, and no sentence is empty once it is normalized."""
    sentences = split(text, language)
    bounds = [0, *(bound for own in sentences for bound in (own.start, own.end)), len(text)]
    left = "".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))

    assert not any(character.isalpha() for character in left)
    assert all(normalize(sentence.text).text for sentence in sentences)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Danke! 🙂", ["Danke!"]),
        ("Ich liebe dich. ❤️", ["Ich liebe dich."]),
        ("Tom kam.\n* * *\n-----\nMaria ging.", ["Tom kam.", "Maria ging."]),
        ("1. Öffne die Tür.\n2. Geh hinein.\n12:30", ["Öffne die Tür.", "Geh hinein."]),
        ("Ein Hund schläft.\u200e", ["Ein Hund schläft."]),
        ("***", []),
        ("https://example.org/Weg?x=1\nanna.meier@example.org\nwww.example.org.", []),
        ("Siehe https://example.org/Weg. Danke.", ["Siehe https://example.org/Weg.", "Danke."]),
        ("<https://example.org>Klicken", ["<https://example.org>Klicken"]),
        ("https://example.org，点击", ["https://example.org，点击"]),
        ("联系info@example.org获取", ["联系info@example.org获取"]),
    ],
)
def test_what_has_no_word_is_no_sentence(text: str, wanted: list[str]) -> None:
    """It stays as it is, where a network would write something of its own."""
    sentences = split(text, "de")

    assert [own.text for own in sentences] == wanted
    assert join(text, sentences, wanted)[0] == text


@given(text=texts, language=LANGUAGES)
def test_a_sentence_is_not_empty_and_has_no_space_around_it_nor_line_break_in_it(text: str, language: str) -> None:
    """A line break ends a sentence, and a sentence has something to translate."""
    for sentence in split(text, language):
        assert sentence.text
        assert sentence.text == sentence.text.strip()
        assert not set(sentence.text) & set(LINE_BREAKS)


@given(text=texts, language=LANGUAGES)
def test_no_sentence_is_longer_than_the_limit(text: str, language: str) -> None:
    """Overlong sentences are cut, even where there is no space to cut at."""
    assert all(len(sentence.text) <= LONGEST for sentence in split(text, language))


@given(text=texts, translations=st.data())
def test_each_translation_stands_where_join_says(text: str, translations: st.DataObject) -> None:
    """The starts that `join` returns lead to the translations, whatever these are."""
    sentences = split(text, "de")
    own = translations.draw(st.lists(st.text(), min_size=len(sentences), max_size=len(sentences)))

    joined, starts = join(text, sentences, own)

    assert [joined[at : at + len(t)] for at, t in zip(starts, own, strict=True)] == own


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Dr. Müller wohnt in Berlin.", "de"),
        ("Das kostet z. B. 3.50 Euro.", "de"),
        ("Am 3. Oktober feiern wir.", "de"),
        ("Mr. Smith met Dr. Jones.", "en"),
        ("It is approx. 5 km away.", "en"),
        ("Je connais bien M. Martin et Mlle. Dubois.", "fr"),
        ("La Dra. Ruiz vive en Madrid.", "es-MX"),
        ("Ich komme am 24. Dezember nach Hause.", "de-AT"),
        ("Heute ist Donnerstag, den 12. Mai, also ist morgen Freitag.", "de"),
        ("Im 19. Jahrhundert wohnte er im 5. Stock.", "de"),
        ("Der 1. FC Köln siegt.", "de"),
    ],
)
def test_abbreviations_do_not_end_a_sentence(text: str, language: str) -> None:
    """A full stop after an abbreviation or in a number stays inside."""
    assert split(text, language) == [Sentence(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        ("Er kam. Sie ging.", "de", 2),
        ("Er kam am 5. Dann ging er.", "de", 2),
        ("Why? Because! I see.", "en", 3),
        ("はい。いいえ。", "ja", 2),
    ],
)
def test_sentences_are_told_apart(text: str, language: str, count: int) -> None:
    """Full stops, question marks and exclamation marks end sentences, in scripts without spaces too."""
    assert len(split(text, language)) == count


def test_an_overlong_sentence_is_cut_after_a_clause() -> None:
    """A comma is a better place than the middle of a phrase."""
    clause = "und so ging es den ganzen lieben langen Tag weiter"
    parts = split(", ".join([clause] * 10) + ".", "de")

    assert len(parts) > 1
    assert all(part.text.endswith(f"{clause},") for part in parts[:-1])


def test_an_overlong_clause_is_cut_between_words() -> None:
    """Without a comma, at least no word is cut."""
    parts = split(" ".join(["wort"] * 200), "de")

    assert len(parts) > 1
    assert {word for part in parts for word in part.text.split()} == {"wort"}


def test_an_overlong_sentence_is_cut_evenly() -> None:
    """No last word is left alone, nor a first one before a comma."""
    for text in ("wort " * 80 + "ende.", "Ja, " + "wort " * 100):
        first, second = (len(part.text) for part in split(text, "de"))
        assert 0.8 < first / second < 1.25


def test_an_overlong_sentence_without_spaces_is_cut_after_a_clause() -> None:
    """Its comma has none behind it."""
    parts = split("我们今天要讨论的问题，" * 60, "zh")

    assert len(parts) == 2
    assert all(part.text.endswith("，") for part in parts)


def test_an_overlong_word_is_cut_between_characters() -> None:
    """As a reader counts them: an accent stays with its letter."""
    parts = split("x" + "e\u0301" * 300, "de")

    assert "".join(part.text for part in parts) == "x" + "e\u0301" * 300
    assert not any(part.text.startswith("\u0301") for part in parts)


def test_what_cannot_be_seen_stays_between_sentences() -> None:
    """With the space beside it, which a translation would lose."""
    text = "Ein Hund schläft.\u200b Die Katze schläft. \ufeff"

    assert join(text, split(text, "de"), ["A.", "B."])[0] == "A.\u200b B. \ufeff"


@pytest.mark.parametrize("text", ["", " ", "\n\t\n", "\u3000\u2028", "\ufeff", " \u200b\x00 "])
def test_a_text_without_words_has_no_sentences(text: str) -> None:
    """White space is kept by `join`, and is nothing to translate."""
    assert split(text, "de") == []
    assert join(text, [], []) == (text, [])


def test_a_language_that_the_splitter_does_not_know_is_split_all_the_same() -> None:
    """Rules that hold for most languages are better than none."""
    assert [s.text for s in split("Tlhab? HIja!", "tlh")] == ["Tlhab?", "HIja!"]


@pytest.mark.parametrize(
    ("translations", "joined"),
    [
        (["Hello.", "What is your name?"], "Hello. What is your name?"),
        (["こんにちは。", "お名前は？"], "こんにちは。お名前は？"),
    ],
)
def test_translations_get_the_space_that_their_script_writes(translations: list[str], joined: str) -> None:
    """Between Chinese sentences there is none."""
    text = "你好。你叫什么名字？"

    assert join(text, split(text, "zh"), translations) == (joined, [0, joined.index(translations[1])])


def test_joining_wants_a_translation_for_each_sentence() -> None:
    """Too few translations are a bug of the caller, and are not passed over."""
    with pytest.raises(ValueError, match="shorter"):
        join("Eins. Zwei.", split("Eins. Zwei.", "de"), ["One."])


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u3000", "\u2009"])
@pytest.mark.parametrize("language", ["de", "en", "xx"])
def test_an_initial_before_any_kind_of_space(space: str, language: str) -> None:
    """The splitter ends the process at some of them, if it sees them."""
    text = f"Er sah J{space}. Smith."

    assert "".join(text[own.start : own.end] for own in split(text, language)).replace(" ", "") == text.replace(" ", "")
