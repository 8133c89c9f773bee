"""What a translation must begin with, have in it and not say: for every way to search, against all texts there are."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phrases import SEARCHES, accepts, says
from table import VOCABULARY, TableStepper

from nmt.config import SearchConfig
from nmt.search.automaton import Automaton, Trie, _explore
from nmt.search.engine import Engine, search_all
from nmt.search.guides import Guide, Guided
from nmt.search.hypothesis import Hypothesis
from nmt.search.reading import Demand, Reader
from nmt.search.top import allocate
from nmt.text.symbols import LONE_BYTE, kind
from nmt.text.tokenizer import END

STEPPER = TableStepper()
PIECES = ["", "", "", "", " a", "a", " bA"]
TRIE = Trie(PIECES)
LONGEST = 4

LONE_BYTES = [chr(ord(LONE_BYTE) + byte) for byte in "é\U0001f600".encode()]

assert len(PIECES) == VOCABULARY

texts = st.lists(st.sampled_from(PIECES[4:]), min_size=1, max_size=3).map("".join)
sources = st.lists(st.integers(4, 6), min_size=1, max_size=3).map(lambda ids: [*ids, END])
searches = st.sampled_from(SEARCHES)
words = texts.map(str.strip)


def reads(prefix: str = "", wanted: str = "", excluded: Sequence[str] = ()) -> Automaton:
    return Automaton.of(Demand(prefix, wanted, excluded=tuple(excluded)), TRIE)


def text_of(pieces: Sequence[int]) -> str:
    return "".join(PIECES[piece] for piece in pieces)


def search(source: list[int], options: dict[str, object], *guide: Automaton) -> list[Hypothesis]:
    """Alone, and beside sentences that have no guide or another."""
    config = SearchConfig.model_validate({"max_length": LONGEST, **options})
    alone = search_all(STEPPER, [source], config, guides=[Guide.anywhere(*guide)])[0]
    engine = Engine(STEPPER)
    engine.submit([6, 5, END], SearchConfig(beam_size=6, max_length=5))
    ticket = engine.submit(source, config, guide=Guide.anywhere(*guide))
    engine.submit([5, END], config, guide=Guide.anywhere(reads(" a")))
    engine.submit(
        [4, END], SearchConfig(beam_size=3, max_length=5), guide=Guide.anywhere(reads(wanted="bA"), reads(wanted="a a"))
    )
    beside = next(finished.hypotheses for finished in engine.run() if finished.ticket == ticket)

    assert [own.pieces for own in beside] == [own.pieces for own in alone]
    return alone


def all_texts() -> Iterator[tuple[int, ...]]:
    for length in range(LONGEST + 1):
        yield from itertools.product(range(4, VOCABULARY), repeat=length)


def log_prob(source: list[int], pieces: tuple[int, ...]) -> float:
    whole = (*pieces, END)
    return sum(float(STEPPER.log_probs(source, whole[:at])[piece]) for at, piece in enumerate(whole))


@given(source=sources, prefix=texts, options=searches)
def test_every_translation_begins_as_asked(source: list[int], prefix: str, options: dict[str, object]) -> None:
    """To the character, in whatever pieces, also where the prefix ends in the middle of one."""
    guide = reads(prefix)
    assume(Guide.anywhere(guide).fewest <= LONGEST)
    found = search(source, options, guide)

    assert found
    assert all(text_of(own.pieces).startswith(prefix) for own in found)


@given(source=sources, prefix=texts)
def test_something_follows_where_something_must(source: list[int], prefix: str) -> None:
    """As after a space at the end of a prefix."""
    guide = reads(prefix + " ")
    assume(Guide.anywhere(guide).fewest <= LONGEST)

    for text in (text_of(own.pieces) for own in search(source, SEARCHES[0], guide)):
        assert text.startswith(prefix + " ")
        assert len(text) > len(prefix + " ")


@given(source=sources, phrases=st.lists(words, min_size=1, max_size=3), options=searches)
def test_no_translation_says_what_is_excluded(
    source: list[int], phrases: list[str], options: dict[str, object]
) -> None:
    """As whole words, in upper or lower case; as part of a longer word it may come."""
    found = search(source, options, reads(excluded=phrases))

    assert found
    assert not any(says(text_of(own.pieces), phrase) for own in found for phrase in phrases)


@given(
    source=sources,
    phrases=st.lists(words, min_size=1, max_size=3, unique=True),
    options=searches,
    looks=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=4, max_size=4),
    room=st.integers(0, 4),
)
def test_every_translation_says_what_is_wanted(
    source: list[int], phrases: list[str], options: dict[str, object], looks: list[float], room: int
) -> None:
    """As whole words, in this case, even with no more room than it takes, whatever the guards against repetition say,
    and wherever it is to stand."""
    automata = tuple(reads(wanted=phrase) for phrase in phrases)
    guide = Guide(automata, np.tile(np.array(looks[: len(source)], np.float32), (len(automata), 1)))
    config = {**options, "max_length": guide.fewest + room, "no_repeat_ngram": 1}
    found = search_all(STEPPER, [source], SearchConfig.model_validate(config), guides=[guide])[0]

    assert found
    assert all(says(text_of(own.pieces), phrase, any_case=False) for own in found for phrase in phrases)


@given(
    source=sources,
    prefix=texts | st.just(""),
    wanted=st.lists(words, min_size=1, max_size=2, unique=True),
    excluded=words,
    options=searches,
)
def test_all_that_is_asked_holds_at_once(
    source: list[int], prefix: str, wanted: list[str], excluded: str, options: dict[str, object]
) -> None:
    """Or it is known before the search that there is no room for it."""
    guide = [reads(prefix, phrase, [excluded]) for phrase in wanted]
    needed = Guide.anywhere(*guide).fewest
    assume(needed <= 12)
    found = search(source, {**options, "max_length": max(1, needed)}, *guide)

    assert found
    for text in (text_of(own.pieces) for own in found):
        assert text.startswith(prefix)
        assert not says(text, excluded)
        assert all(says(text, phrase, any_case=False) for phrase in wanted)


@given(source=sources, prefix=texts | st.just(""), excluded=words)
def test_nothing_better_is_missed(source: list[int], prefix: str, excluded: str) -> None:
    """A beam that holds everything finds the likeliest of all texts that satisfy both, if there is one."""
    guide, allowed = reads(prefix, "", [excluded]), all_that_satisfy(prefix, "", excluded)
    assume(allowed)
    found = search(source, {"beam_size": 32, "length_penalty": 0}, guide)
    best = max(allowed, key=lambda pieces: log_prob(source, pieces))

    assert found[0].log_prob == pytest.approx(log_prob(source, best), abs=1e-4)


@given(prefix=texts | st.just(""), wanted=words | st.just(""), excluded=words)
def test_the_room_that_it_takes_is_known_exactly(prefix: str, wanted: str, excluded: str) -> None:
    """Before the search, of all three together: the length of the shortest text that satisfies them."""
    lengths = [len(pieces) for pieces in all_that_satisfy(prefix, wanted, excluded)]
    fewest = Guide.anywhere(reads(prefix, wanted, [excluded])).fewest

    assert fewest == min(lengths) if lengths else fewest > LONGEST


def all_that_satisfy(prefix: str, wanted: str, excluded: str) -> list[tuple[int, ...]]:
    return [
        pieces
        for pieces in all_texts()
        if (text := text_of(pieces)).startswith(prefix)
        and (not wanted or says(text, wanted, any_case=False))
        and not says(text, excluded)
    ]


@given(
    source=st.lists(st.integers(4, 6), min_size=2, max_size=3).map(lambda ids: [*ids, END]),
    wanted=words,
    term=st.booleans(),
)
def test_greedy_search_writes_a_phrase_where_it_looks_at_its_term(source: list[int], wanted: str, term: bool) -> None:
    """At the start of the next word, or where it would end, and nothing else until it stands; what is no term, where it
    may begin with a piece that is likely enough."""
    anchors = np.array([[1.0, *[-1.0] * (len(source) - 2), 0.0]], np.float32)
    guide = Guide((reads(wanted=wanted),), anchors * term)
    config = SearchConfig(method="greedy", max_length=20)
    found = search_all(STEPPER, [source], config, guides=[guide])[0][0]

    assert found.pieces == greedy(source, guide)


def greedy(source: list[int], guide: Guide) -> list[int]:
    """Piece by piece, of all that is allowed."""
    automaton, pieces, state, writing = guide.automata[0], list[int](), 0, False
    while END not in pieces:
        log_probs, weights = STEPPER.log_probs(source, pieces), STEPPER.weights(source, pieces)
        free = int(log_probs.argmax())
        after = {piece: int(automaton.next[state, automaton.classes[piece]]) for piece in range(END, VOCABULARY)}
        options = {
            piece: 0 if piece == END else int(automaton.settled[to])
            for piece, to in after.items()
            if to < len(automaton.next) - 1 and (piece == END or automaton.needed[to] <= 19 - len(pieces))
        }
        nearest = min(options.values())
        looks = 2 * weights[0] > weights[:-1].sum() and PIECES[free][:1] in ("", " ")
        nearer = [float(log_probs[p]) for p in options if p != END and options[p] < automaton.settled[state]]
        likely = bool(nearer) and max(nearer) > max(float(log_probs[p]) for p in options) + math.log(0.01)
        opens = free == END or (looks if guide.anchors.any() else likely)
        writing = bool(automaton.rest[state] > 0 and (writing or opens) and nearest < automaton.settled[state])
        chosen = [piece for piece, settled in options.items() if not writing or settled == nearest]
        pieces.append(max(chosen, key=lambda piece: float(log_probs[piece])))
        state, writing = after[pieces[-1]], writing and nearest > 0
    return pieces


def test_a_term_comes_no_nearer_in_a_row_that_does_not_look_at_it() -> None:
    """Its first piece stands in the bank of any other there, unlike that of a phrase for any place; where the row looks
    at the term, and where the phrase has been begun, it stands in a nearer one."""
    phrase = reads(wanted="a a")
    term, anywhere = Guide((phrase,), np.array([[1, -1, 0]], np.float32)), Guide.anywhere(phrase)
    there, elsewhere = [0.5, 0.3, 0.2], [0.3, 0.5, 0.2]
    own, other = PIECES.index(" a"), PIECES.index(" bA")
    far, near = banks(term, elsewhere), (banks(anywhere, elsewhere), banks(term, there), banks(term, elsewhere, own))

    assert far[own] == far[other]
    assert all(bank[own] < bank[other] for bank in near)


def banks(guide: Guide, weights: list[float], *pieces: int) -> list[int]:
    """(V,): of a row that has those pieces, in a beam, where another piece than the phrase's is likelier."""
    guided, log_probs = Guided.start(SearchConfig(), guide, 1), np.arange(VOCABULARY, dtype=np.float32)[None]
    for piece in pieces:
        guided.follow(np.array([0]), np.array([piece]))
    found = guided.filter(log_probs, None, np.array([weights], np.float32), left=20)
    assert found is not None
    return found[0].tolist()


def test_a_row_goes_on_with_the_phrase_that_its_parent_began() -> None:
    """Whichever row it has become, and nothing else until that stands."""
    guide = Guide((reads(wanted="a a"),), np.array([[1, -1, 0]], np.float32))
    guided, likelier = Guided.start(SearchConfig(), guide, 2), np.arange(VOCABULARY, dtype=np.float32)
    own, other = PIECES.index(" a"), PIECES.index(" bA")
    guided.filter(np.tile(likelier, (2, 1)), None, np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2]], np.float32), left=20)
    guided.follow(parents=np.array([1, 0]), pieces=np.array([other, own]))
    log_probs = np.tile(likelier, (2, 1))
    guided.filter(log_probs, None, np.array([[0.3, 0.5, 0.2]] * 2, np.float32), left=20)
    free, writing = (np.flatnonzero(row > -np.inf).tolist() for row in log_probs)

    assert writing == [own]
    assert {own, other} < set(free)


@pytest.mark.parametrize("source", [[5, END], [6, 4, END], [4, 4, 5, END]], ids=str)
def test_groups_differ_also_where_a_phrase_is_wanted(source: list[int]) -> None:
    """The first says what all say if they cost each other nothing, the second something else."""
    guide = Guide((reads(wanted="a bA"),), np.full((1, len(source) - 1), -1, np.float32))

    def found(penalty: float) -> set[tuple[int, ...]]:
        config = SearchConfig(beam_size=4, n_best=4, diversity_groups=2, diversity_penalty=penalty, max_length=8)
        return {tuple(own.pieces) for own in search_all(STEPPER, [source], config, guides=[guide])[0]}

    assert found(10) > found(0)


@given(wanted=words | st.just(""), excluded=st.lists(words, min_size=1, max_size=3))
def test_the_automaton_accepts_exactly_what_it_should(wanted: str, excluded: list[str]) -> None:
    """Of all texts up to four pieces."""
    automaton = reads("", wanted, excluded)
    for pieces in all_texts():
        text = text_of(pieces)
        right = not wanted or says(text, wanted, any_case=False)

        assert accepts(automaton, pieces) == (right and not any(says(text, phrase) for phrase in excluded)), text


@given(
    wanted=st.sampled_from(["a", "ab", "a.b", ".a", "-a", "(a"]),
    prefix=st.sampled_from(["", " a.", " (a"]),
    before=st.text("a .,…)]-('\"_。", max_size=3),
    after=st.text("ab .", max_size=2),
)
def test_what_is_wanted_does_not_begin_right_after_a_sign(wanted: str, prefix: str, before: str, after: str) -> None:
    """That a space follows, as a full stop; after what opens or joins, such as a bracket or a hyphen, it may."""
    text, symbols = f" {before}{wanted}{after}", ["", "", "", "", *" ab.,…)]-('\"_。"]
    automaton = Automaton.of(Demand(prefix, wanted), Trie(symbols))
    right = text.startswith(prefix) and says(text, wanted, any_case=False)

    assert accepts(automaton, [symbols.index(character, 4) for character in text]) == right


@given(rows=st.integers(2, 6), vocabulary=st.integers(2, 30), seed=st.integers(0, 99))
def test_banks_take_turns(rows: int, vocabulary: int, seed: int) -> None:
    """Each gives its best, and none gives two more than another that has one left; the nearest begins, the farthest is
    the second, and the others follow from near to far."""
    rng, shape = np.random.default_rng(seed), (rows, vocabulary)
    log_probs = np.where(rng.random(shape) < 0.3, -np.inf, rng.standard_normal(shape)).astype(np.float32)
    totals, bank = rng.standard_normal(rows).astype(np.float32), rng.integers(0, 4, shape)
    best, at = allocate(log_probs, totals, bank)
    sums, bank = (totals[:, None] + log_probs).ravel(), bank.ravel()
    chosen = at[best > -np.inf]
    left = {number: sums[(bank == number) & (sums > -np.inf)] for number in range(4)}
    taken = {number: sums[chosen[bank[chosen] == number]] for number in range(4)}

    assert np.array_equal(best[: len(chosen)], sums[chosen])
    assert len(chosen) == min(rows, sum(map(len, left.values())))
    assert all(np.array_equal(taken[n], np.sort(left[n])[::-1][: len(taken[n])]) for n in left)
    assert all(len(taken[n]) >= min(len(left[n]), max(map(len, taken.values())) - 1) for n in left)
    nearest, *others = [number for number in left if len(left[number])] or [0]
    assert bank[chosen[: 1 + len(others)]].tolist() == [nearest, *others[-1:], *others[:-1]][: len(chosen)]


@given(
    prefix=st.sampled_from(["", " ", " aB", " é ", " \U0001f600"]),
    wanted=st.sampled_from(["", "aB", "é", "\U0001f600a"]),
    excluded=st.lists(st.sampled_from(["a", "ab", "bé", "É", "\U0001f600"]), max_size=3),
    symbols=st.lists(
        st.sampled_from([*" aAbBéÉz.", *(chr(ord(LONE_BYTE) + b) for b in "é\U0001f600".encode())]), max_size=6
    ),
)
def test_all_symbols_but_the_telling_ones_read_as_others_of_their_kind(
    prefix: str, wanted: str, excluded: list[str], symbols: list[str]
) -> None:
    """Whatever was read before: so the others need not be read one by one."""
    reader = Reader(Demand(prefix, wanted, excluded=tuple(excluded)))
    state = reader.start
    for symbol in symbols:
        for other in set(reader.symbols) - reader.telling(state):
            assert reader.read(state, other, kind(other)) == reader.read(state, "", kind(other))
        after = reader.read(state, symbol, kind(symbol))
        if after is None:
            return
        state = after


@given(wanted=words, excluded=st.lists(words, max_size=2), prefix=st.sampled_from(["", " a", " bA"]))
def test_a_piece_is_read_symbol_by_symbol_and_those_that_lead_alike_are_a_class(
    wanted: str, excluded: list[str], prefix: str
) -> None:
    """From each state; one without text leads to the dead state, the last."""
    reader = Reader(Demand(prefix, wanted, excluded=tuple(excluded)))
    states, steps = _explore(reader)
    places = {symbol: number for number, symbol in enumerate(reader.symbols)}
    pieces = [*PIECES, " z", " zz", "é"]
    reached, classes = Trie(pieces).read(steps, reader.symbols)
    for number, piece in enumerate(pieces):
        after = np.arange(len(steps)) if piece else np.full(len(steps), len(states))
        for symbol in piece:
            after = steps[after, places.get(symbol, len(places) + kind(symbol))]
        assert np.array_equal(reached[:, classes[number]], after)

    assert np.unique(reached, axis=1).shape == reached.shape
