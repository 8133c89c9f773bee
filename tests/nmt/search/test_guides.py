"""What a translation must begin with and must not say: for every way to search, against all texts there are."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from table import VOCABULARY, TableStepper

from nmt import SearchConfig, Translator
from nmt.errors import InputError
from nmt.search.automaton import Automaton, avoids, begins_with
from nmt.search.engine import Engine, search_all
from nmt.search.hypothesis import Hypothesis
from nmt.text.tokenizer import END

STEPPER = TableStepper()
PIECES = ["", "", "", "", " a", "a", "bA"]
LONGEST = 4
SEARCHES = [
    {"beam_size": 4, "n_best": 4},
    {"method": "greedy"},
    {"method": "sample", "n_best": 3, "seed": 5, "temperature": 3},
    {"beam_size": 4, "n_best": 4, "diversity_groups": 2},
]

assert len(PIECES) == VOCABULARY

texts = st.lists(st.sampled_from(PIECES[4:]), min_size=1, max_size=3).map("".join)
sources = st.lists(st.integers(4, 6), min_size=1, max_size=3).map(lambda ids: [*ids, END])
searches = st.sampled_from(SEARCHES)


def text_of(pieces: Sequence[int]) -> str:
    return "".join(PIECES[piece] for piece in pieces)


def search(source: list[int], options: dict[str, object], *guide: Automaton) -> list[Hypothesis]:
    """Alone, and beside sentences that have no guide or another."""
    config = SearchConfig.model_validate({"max_length": LONGEST, **options})
    alone = search_all(STEPPER, [source], config, guides=[guide])[0]
    engine = Engine(STEPPER)
    engine.submit([6, 5, END], SearchConfig(beam_size=6, max_length=5))
    ticket = engine.submit(source, config, guide=guide)
    engine.submit([5, END], config, guide=(begins_with(b" a", bytes_of(PIECES), more=False),))
    beside = next(finished.hypotheses for finished in engine.run() if finished.ticket == ticket)

    assert [own.pieces for own in beside] == [own.pieces for own in alone]
    return alone


def bytes_of(pieces: Sequence[str]) -> list[bytes]:
    return [piece.encode() for piece in pieces]


def says(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as whole words, by a regular expression."""
    before = r"(?<![^\W_])" if phrase[0].isalnum() else ""
    after = r"(?![^\W_])" if phrase[-1].isalnum() else ""
    return re.search(before + re.escape(phrase.lower()) + after, text.lower()) is not None


def all_texts() -> Iterator[tuple[int, ...]]:
    for length in range(LONGEST + 1):
        yield from itertools.product(range(4, VOCABULARY), repeat=length)


def log_prob(source: list[int], pieces: tuple[int, ...]) -> float:
    whole = (*pieces, END)
    return sum(float(STEPPER.log_probs(source, whole[:at])[piece]) for at, piece in enumerate(whole))


@given(source=sources, prefix=texts, options=searches)
def test_every_translation_begins_as_asked(source: list[int], prefix: str, options: dict[str, object]) -> None:
    """To the character, in whatever pieces, also where the prefix ends in the middle of one."""
    needed = int(begins_with(prefix.encode(), bytes_of(PIECES), more=False).needed[0])
    assume(needed <= LONGEST)
    found = search(source, options, begins_with(prefix.encode(), bytes_of(PIECES), more=False))

    assert found
    assert all(text_of(own.pieces).startswith(prefix) for own in found)


@given(source=sources, prefix=texts)
def test_something_follows_where_something_must(source: list[int], prefix: str) -> None:
    """As after a space at the end of a prefix."""
    guide = begins_with(prefix.encode(), bytes_of(PIECES), more=True)
    assume(int(guide.needed[0]) <= LONGEST)

    assert all(len(text_of(own.pieces)) > len(prefix) for own in search(source, SEARCHES[0], guide))


@given(source=sources, phrases=st.lists(texts.map(str.strip), min_size=1, max_size=3), options=searches)
def test_no_translation_says_what_is_excluded(
    source: list[int], phrases: list[str], options: dict[str, object]
) -> None:
    """As whole words, in upper or lower case; as part of a longer word it may come."""
    found = search(source, options, avoids(phrases, PIECES))

    assert found
    assert not any(says(text_of(own.pieces), phrase) for own in found for phrase in phrases)


@given(source=sources, prefix=texts, phrase=texts.map(str.strip))
def test_nothing_better_is_missed(source: list[int], prefix: str, phrase: str) -> None:
    """A beam that holds everything finds the likeliest of all texts that satisfy both."""
    allowed = [
        pieces for pieces in all_texts() if text_of(pieces).startswith(prefix) and not says(text_of(pieces), phrase)
    ]
    assume(allowed)
    guide = (begins_with(prefix.encode(), bytes_of(PIECES), more=False), avoids([phrase], PIECES))
    found = search(source, {"beam_size": 32, "length_penalty": 0}, *guide)
    best = max(allowed, key=lambda pieces: log_prob(source, pieces))

    assert found[0].log_prob == pytest.approx(log_prob(source, best), abs=1e-4)


@given(phrases=st.lists(texts.map(str.strip), min_size=1, max_size=3))
def test_the_automaton_accepts_exactly_what_says_no_phrase(phrases: list[str]) -> None:
    """Of all texts up to four pieces."""
    automaton = avoids(phrases, PIECES)
    for pieces in all_texts():
        state = 0
        for piece in (*pieces, END):
            state = int(automaton.next[state, piece]) if state >= 0 else state

        assert (state >= 0) == (not any(says(text_of(pieces), phrase) for phrase in phrases)), text_of(pieces)


@pytest.fixture(scope="module")
def translator(tiny_folder: Path) -> Translator:
    return Translator.load(tiny_folder)


@pytest.mark.parametrize("prefix", ["T", "the do", "Don't ", "x 😀 q", "Tom\u0301 is  a"])
@pytest.mark.parametrize("options", SEARCHES)
def test_a_text_begins_as_asked(translator: Translator, prefix: str, options: dict[str, object]) -> None:
    """Also with characters that no piece has, in the normal form that all text of the model has."""
    config = SearchConfig.model_validate({"max_length": 30, "prefix": prefix, **options})
    translation = translator.translate(["Der Hund schläft. Tom auch."], "en", "de", config)[0]
    wanted = translator.tokenizer.normalize(prefix).text + " " * prefix[-1].isspace()

    assert all(hypothesis.text.startswith(wanted) for hypothesis in translation.hypotheses)
    assert all(len(hypothesis.text) > len(wanted) for hypothesis in translation.hypotheses if wanted[-1] == " ")


def test_words_that_came_do_not_come_when_they_are_excluded(translator: Translator) -> None:
    """Nor do those that take their place, when they are excluded as well."""
    excluded: list[str] = []
    for _ in range(4):
        config = SearchConfig(max_length=12, exclude=tuple(excluded))
        text = translator.translate(["Der Hund schläft."], "en", "de", config)[0].text

        assert not any(says(text, phrase) for phrase in excluded)
        excluded += re.findall(r"\w+", text)[:1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"prefix": "the dog sleeps", "max_length": 2},
            r"prefix has at least \d+ pieces, but the translation may have 2",
        ),
        ({"prefix": "a dog is", "exclude": ["Dog"], "max_length": 30}, "prefix 'a dog is' has a phrase that exclude"),
        ({"exclude": ["dog", " "]}, "exclude has an empty phrase"),
    ],
)
def test_what_cannot_be_is_refused(translator: Translator, options: dict[str, object], message: str) -> None:
    """Before anything is searched, with what is wanted instead."""
    with pytest.raises(InputError, match=message):
        translator.translate(["Der Hund."], "en", "de", SearchConfig.model_validate(options))


def test_where_nothing_is_left_to_say_the_error_says_so(translator: Translator) -> None:
    """Whatever the reason."""
    job = translator.plan("Der Hund.", "en", "de", SearchConfig())
    with pytest.raises(InputError, match="no translation within max_length keeps prefix and exclude"):
        translator.assemble(job, [[]], SearchConfig())
