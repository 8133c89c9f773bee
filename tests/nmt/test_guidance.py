"""What users ask of a translation, in text: how it begins, what it must say and what not."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrases import SEARCHES, accepts, says

from nmt import SearchConfig, Translator, guidance
from nmt.errors import InputError
from nmt.search import automaton
from nmt.search.automaton import Automaton, Trie
from nmt.search.reading import Demand
from nmt.text.tokenizer import Tokenizer

GLOSSARY = {f"W{number}": f"V{number}" for number in range(40)}


@pytest.fixture(scope="module")
def translator(tiny_folder: Path) -> Translator:
    return Translator.load(tiny_folder)


@given(data=st.data())
def test_any_cut_of_a_text_reads_the_same(data: st.DataObject, translator: Translator) -> None:
    """Also one into bytes: automata say of the text of random pieces what a regular expression says."""
    tokenizer = translator.tokenizer
    phrase = data.draw(st.sampled_from(["the dog", "weiß", "Tom", "a", "...", "é"]))
    cuts = [tokenizer.encode_target(phrase).ids[:-1], [byte_piece(tokenizer, byte) for byte in phrase.encode()]]
    some = [piece for piece in range(4, tokenizer.target_vocabulary) if is_text(tokenizer, piece)]
    noise = st.lists(st.sampled_from(some), max_size=3)
    pieces = [*data.draw(noise), *data.draw(st.sampled_from(cuts)), *data.draw(noise)]
    text = tokenizer.decode(pieces).text
    symbols = Trie(tokenizer.target_symbols)

    assert accepts(Automaton.of(Demand(wanted=phrase), symbols), pieces) == says(text, phrase, any_case=False)
    assert accepts(Automaton.of(Demand(excluded=(phrase,)), symbols), pieces) != says(text, phrase)
    assert text.startswith(phrase) or not accepts(Automaton.of(Demand(f" {phrase}"), symbols), pieces)


@pytest.mark.parametrize(
    ("excluded", "text", "accepted"),
    [
        ("the", "why The dog", False),
        ("the", "THE", False),
        ("THE", "the", False),
        ("weiß", "WEIß", False),
        ("weiß", "WEISS", True),
        ("é", "É", False),
        ("the", "Then", True),
    ],
)
def test_what_is_excluded_may_come_in_no_case(translator: Translator, excluded: str, text: str, accepted: bool) -> None:
    """Letter by letter, whichever case it is excluded in."""
    assert reads(translator.tokenizer, Demand(excluded=(excluded,)), text) == accepted


@pytest.mark.parametrize(
    ("text", "accepted"),
    [("the dog", True), ("The dog", True), ("why the dog", True), ("why The dog", False), ("THE dog", False)],
)
@pytest.mark.parametrize("capital", [False, True])
def test_a_wanted_phrase_may_have_a_capital_where_it_begins_the_sentence(
    translator: Translator, text: str, accepted: bool, capital: bool
) -> None:
    """And only as the translation of a term; else it stands there as it was sent."""
    wanted = Demand(wanted="the dog", capital=capital)

    assert reads(translator.tokenizer, wanted, text) == (accepted and (capital or text[0] != "T"))


def reads(tokenizer: Tokenizer, demand: Demand, text: str) -> bool:
    """Whether the text may be a translation."""
    *pieces, _ = tokenizer.encode_target(text).ids
    return accepts(Automaton.of(demand, Trie(tokenizer.target_symbols)), pieces)


def byte_piece(tokenizer: Tokenizer, byte: int) -> int:
    return tokenizer.target_symbols.index(chr(0xDC00 + byte))


def is_text(tokenizer: Tokenizer, piece: int) -> bool:
    """No tag, and no byte that is only a part of a character."""
    symbols = tokenizer.target_symbols[piece]
    return symbols != "" and not "\udc80" <= symbols[0] <= "\udcff"


@pytest.mark.parametrize("prefix", ["T", "the do", "Don't ", "x 😀 q", "Tom\u0301 is  a"])
@pytest.mark.parametrize("options", SEARCHES)
def test_a_text_begins_as_asked(translator: Translator, prefix: str, options: dict[str, object]) -> None:
    """Also with characters that no piece has, in the normal form that all text of the model has."""
    config = SearchConfig.model_validate({"max_length": 30, "prefix": prefix, **options})
    translation = translator.translate(["Der Hund schläft. Tom auch."], "en", "de", config)[0]
    wanted = translator.tokenizer.normalize(prefix).text + " " * prefix[-1].isspace()

    assert all(hypothesis.text.startswith(wanted) for hypothesis in translation.hypotheses)
    assert all(len(hypothesis.text) > len(wanted) for hypothesis in translation.hypotheses if wanted[-1] == " ")


@pytest.mark.parametrize("phrases", [("the cat",), ("Tom knows", "weiß", "é"), ("Houses", "Houses in")])
@pytest.mark.parametrize("options", SEARCHES)
def test_a_text_says_what_it_must(translator: Translator, phrases: tuple[str, ...], options: dict[str, object]) -> None:
    """In the first sentence, also with characters that no piece has."""
    config = SearchConfig.model_validate({"max_length": 40, "include": phrases, "exclude": ["dog"], **options})
    translation = translator.translate(["Der Hund schläft. Tom auch."], "en", "de", config)[0]

    for hypothesis in translation.hypotheses:
        text = hypothesis.parts[0].target.text
        assert all(says(text, phrase, any_case=False) for phrase in phrases)
        assert not says(hypothesis.text, "dog")


def test_the_first_sentence_that_has_room_says_what_must_be_said(translator: Translator) -> None:
    """Where limits are relative to the source, a short one may have none."""
    config = SearchConfig(max_length_ratio=1, include=("the house and the dog",))
    parts = translator.translate(["Tom. Der Hund schläft nicht im Haus."], "en", "de", config)[0].hypotheses[0].parts

    assert [says(part.target.text, "the house and the dog") for part in parts] == [False, True]


@pytest.mark.parametrize("options", SEARCHES)
def test_terms_stand_where_the_glossary_wants_them(translator: Translator, options: dict[str, object]) -> None:
    """In the sentences that have them, reported with both places."""
    source, glossary = (
        "Hund weiß nicht.  Der Hund  schläft im Haus.",
        {"hund": "cat", "Hund": "dog", "im  Haus": "why é"},
    )
    config = SearchConfig.model_validate({"max_length": 40, "glossary": glossary, **options})

    for hypothesis in translator.translate([source], "en", "de", config)[0].hypotheses:
        terms = hypothesis.terms
        assert [source[t.source.start : t.source.end] for t in terms] == ["Hund", "Hund", "im Haus"]
        assert [t.source.text for t in terms] == ["Hund", "Hund", "im Haus"]
        assert [t.target.text.lower() for t in terms] == ["dog", "dog", "why é"]
        assert all(hypothesis.text[t.target.start : t.target.end] == t.target.text for t in terms)


@pytest.mark.parametrize("method", ["beam", "greedy"])
def test_a_term_stands_where_attention_was_on_what_it_translates(box: Translator, method: str) -> None:
    """With a model that was trained."""
    config = SearchConfig.model_validate({"method": method, "glossary": {"Garten": "back yard"}})
    hypothesis = box.translate(["Der Hund schläft im Garten."], "en", "de", config)[0].hypotheses[0]
    (term,), alignment = hypothesis.terms, hypothesis.alignment()
    own = next(number for number, unit in enumerate(alignment.source) if unit.text == "Garten")
    first = next(number for number, unit in enumerate(alignment.target) if unit.start == term.target.start)

    assert (term.source.text, term.target.text) == ("Garten", "back yard")
    assert alignment.weights[first, own] > 0.5


def test_terms_that_do_not_fit_stand_there_as_well(box: Translator) -> None:
    """But for one at most of these, though a beam that wrote them too early could have scored better."""
    unlikely = [
        ("A dog is sleeping in the garden.", "garden", "Bahnhof"),
        ("Tomorrow we will go to the lake.", "lake", "Arzt"),
        ("My brother does not like coffee.", "coffee", "Regen"),
        ("How much does this shirt cost?", "shirt", "Garten"),
        ("The children are playing in the park.", "children", "Schuhe"),
        ("Yesterday I bought a new bicycle.", "bicycle", "Wolke"),
        ("The letter was written by my mother.", "mother", "Lampe"),
    ]
    fitting = 0
    for text, term, target in unlikely:
        found = box.translate([text], "de", "en", SearchConfig(glossary={term: target}))[0].hypotheses[0]
        alignment, place = found.alignment(), found.terms[0].target
        first = next(number for number, unit in enumerate(alignment.target) if unit.start == place.start)
        fitting += alignment.source[int(alignment.weights[first].argmax())].text == term

    assert fitting >= len(unlikely) - 1


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
        ({"exclude": ["dog", " "]}, "exclude has an empty phrase; send words"),
        ({"include": ["\u200b"]}, "include has an empty phrase; send words"),
        ({"glossary": {"Hund": ""}}, "glossary has an empty phrase; send words"),
        (
            {"glossary": {"Hund": "the dog"}, "exclude": ["dog"]},
            "glossary has 'the dog', which exclude leaves no place",
        ),
        (
            {"glossary": {"Hund": "the dog sleeps"}, "max_length": 2},
            r"glossary takes up to \d+ pieces, .* of a sentence may have 2; raise max_length or ask for less",
        ),
        ({"include": ["a dog is"], "exclude": ["Dog"]}, "include has 'a dog is', which exclude leaves no place for"),
        (
            {"include": ["the dog", "sleeps"], "max_length": 2},
            r"include takes up to \d+ pieces, .*, but the translation of a sentence may have 2; raise max_length",
        ),
    ],
)
def test_what_cannot_be_is_refused(translator: Translator, options: dict[str, object], message: str) -> None:
    """Before anything is searched, with what is wanted instead."""
    with pytest.raises(InputError, match=message):
        translator.translate(["Der Hund."], "en", "de", SearchConfig.model_validate(options))


def test_where_no_sentence_has_room_the_error_is_about_the_one_that_comes_nearest(translator: Translator) -> None:
    """One may have the room for it that another lacks, but not together with the prefix."""
    search = SearchConfig(prefix="the house the dog", include=("Tom knows why",), max_length_ratio=1)
    with pytest.raises(InputError, match=r"include takes up to \d+ pieces, .* may have 16;"):
        translator.translate(["Der Hund im Haus. Tom."], "en", "de", search)


@pytest.mark.parametrize(
    ("count", "search"),
    [
        (41, SearchConfig(glossary=GLOSSARY, exclude=tuple(f"an exclusion {number}" for number in range(20)))),
        (11, SearchConfig(prefix="日本" * 100, include=tuple("abcdefghij"))),
        (41, SearchConfig(glossary={term: f"{term} " + "é" * 96 for term in GLOSSARY})),
    ],
    ids=["terms beside exclusions", "phrases beside a prefix", "long terms"],
)
def test_what_would_take_too_long_is_refused(translator: Translator, count: int, search: SearchConfig) -> None:
    """Before any of it is done, by the bytes that there are to read."""
    with pytest.raises(InputError, match=rf"are {count} demands of \d+ bytes together, .* and can have 4000"):
        translator.plan(" ".join(GLOSSARY), "en", "de", search)


def test_what_several_sentences_ask_for_is_read_once(translator: Translator) -> None:
    """So a long text may have a glossary and exclusions as well."""
    search = SearchConfig(glossary=GLOSSARY, exclude=tuple(f"an exclusion {number}" for number in range(20)))
    guides = translator.plan("W1 W2. " * 30, "en", "de", search).guides

    assert len(guides) == 30
    assert len({automaton for guide in guides for automaton in guide.automata}) == 2


def test_of_what_was_read_the_last_is_kept(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wanted again is the last once more; what has no room beside it is read anew."""
    monkeypatch.setattr(guidance, "_MOST_STATES", 30)
    translator = Translator.load(tiny_folder)

    def read(excluded: str) -> Automaton:
        (guide,) = translator.plan("Der Hund.", "de", "en", SearchConfig(exclude=(excluded,))).guides
        return guide.automata[0]

    first, second = read("eins"), read("zwei")
    assert read("eins") is first
    read("drei")

    assert read("eins") is first
    assert read("zwei") is not second


def test_of_terms_that_are_spelled_alike_none_wins(translator: Translator) -> None:
    """Unless they have the same translation."""
    search = {"glossary": {"Hund": "dog", "Hu\u00adnd": "house"}}
    with pytest.raises(InputError, match=r"glossary has 'Hu\\xadnd' twice, spelled alike, as 'dog' and as 'house'"):
        translator.plan("Der Hund.", "de", "en", SearchConfig.model_validate(search))
    same = SearchConfig(glossary={"Hund": "dog", "Hu\u00adnd": "dog"})
    assert len(translator.plan("Der Hund.", "de", "en", same).terms[0]) == 1


@pytest.mark.parametrize("excluded", [f"ſ {'s ' * 40}x", f"µ {'μ ' * 40}x", f"ı {'i ' * 20}{'I ' * 20}x"])
def test_characters_that_are_alike_in_part_cost_no_more_than_others(translator: Translator, excluded: str) -> None:
    """States grow with the length of a phrase, and do not double with each of its characters."""
    (guide,) = translator.plan("Der Hund.", "de", "en", SearchConfig(exclude=(excluded,))).guides

    assert all(len(own.needed) < 5 * len(excluded) for own in guide.automata)


def test_states_without_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are all made."""
    monkeypatch.setattr(automaton, "_MOST_STATES", 20)
    demand = Demand(wanted="aab" * 9, excluded=("abA" * 9,))
    with pytest.raises(InputError, match="there would be more than 20 states to keep apart; send fewer or shorter"):
        Automaton.of(demand, Trie(["", "", "", "", "a", "A", "b"]))


def test_automata_that_have_too_many_states_together_are_refused(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phrases that are alike in part multiply: each of these has some hundred states, and not three."""
    monkeypatch.setattr(guidance, "_MOST_STATES", 300)
    phrases = tuple("a " * 9 + end for end in "cdef")
    search = SearchConfig(include=phrases, exclude=("a " * 9 + "g",), max_length=1000)

    with pytest.raises(InputError, match="there would be more than 300 states to keep apart; send fewer or shorter"):
        translator.plan("Der Hund.", "de", "en", search)


def test_where_nothing_is_left_to_say_the_error_says_so(translator: Translator) -> None:
    """Whatever the reason."""
    job = translator.plan("Der Hund.", "en", "de", SearchConfig())
    with pytest.raises(InputError, match="no translation within max_length satisfies prefix, include"):
        translator.assemble(job, [[]], SearchConfig())
