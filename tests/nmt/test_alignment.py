"""From attention between pieces to weights and links between words, held against plain cases and invariants."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.alignment import Alignment, Level, Link, Unit, align, characters, merge, overlaps, visible_pieces, words
from nmt.arrays import Floats
from nmt.text.normalize import is_blank
from nmt.text.tokenizer import Span

LEVELS: list[Level] = ["words", "pieces", "characters"]
Side = tuple[str, list[Span]]


def spans_of(text: str) -> list[Span]:
    """One piece a word, and the end of sentence."""
    return [*((unit.start, unit.end) for unit in words(text)), (len(text), len(text))]


def floats(rows: list[list[float]]) -> Floats:
    """A matrix of weights."""
    return np.array(rows, dtype=np.float32)


@st.composite
def sides(draw: st.DrawFn) -> Side:
    """A text cut into pieces at random, some of which have no characters; spaces belong to no piece."""
    chunks = draw(st.lists(st.text(alphabet="abcß. ,'-", min_size=1, max_size=4), max_size=8))
    text, spans = "", list[Span]()
    for chunk in chunks:
        start = len(text) + len(chunk) - len(chunk.lstrip())
        text += chunk
        spans.append((start, len(text)))
    return text, [*spans, (len(text), len(text))]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Side, Side, Floats]:
    """Source, target, and attention whose rows sum to 1."""
    source, target = draw(sides()), draw(sides())
    width, height = len(source[1]), len(target[1])
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.dirichlet(np.full(width, draw(st.sampled_from([0.05, 1.0]))), size=height)
    return source, target, weights.astype(np.float32)


@pytest.mark.parametrize("level", LEVELS)
@given(case=cases())
def test_weights_are_a_share_of_each_source_unit_in_each_target_unit(
    level: Level, case: tuple[Side, Side, Floats]
) -> None:
    """There is a row for each target unit and a column for each source unit; rows are not negative and sum to 1."""
    alignment = align(level, *case)

    assert alignment.weights.shape == (len(alignment.target), len(alignment.source))
    assert (alignment.weights >= 0).all()
    if alignment.source:
        np.testing.assert_allclose(alignment.weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@given(case=cases())
def test_a_unit_stands_where_it_says(level: Level, case: tuple[Side, Side, Floats]) -> None:
    """`text[start:end]` is the unit, on both sides."""
    alignment = align(level, *case)

    for (text, _), units in ((case[0], alignment.source), (case[1], alignment.target)):
        assert all(text[unit.start : unit.end] == unit.text for unit in units)


@pytest.mark.parametrize("units", [words, characters])
@given(text=st.text())
def test_units_are_found_where_they_stand_and_leave_nothing_that_can_be_seen(
    units: Callable[[str], list[Unit]], text: str
) -> None:
    """Any visible character of any script is in exactly one word, and in exactly one character of a reader."""
    found = units(text)
    covered = [i for unit in found for i in range(unit.start, unit.end)]

    assert all(text[unit.start : unit.end] == unit.text for unit in found)
    assert covered == sorted(set(covered))
    assert is_blank("".join(c for i, c in enumerate(text) if i not in set(covered)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Don't pay 3.50!", ["Don't", "pay", "3.50", "!"]),
        ("Die U-Bahn, bitte.", ["Die", "U-Bahn", ",", "bitte", "."]),
        ("日本語です", list("日本語です")),
        ("2024年にTシャツを", ["2024", *"年に", "T", *"シャツを"]),
        ("時々𠮷野家〇ｶﾅ", list("時々𠮷野家〇ｶﾅ")),
        ("ก็ดี", ["ก็", "ดี"]),
        ("ok 👩‍👩‍👧 ❤️", ["ok", "👩‍👩‍👧", "❤️"]),
        ("नमस्ते दुनिया!", ["नमस्ते", "दुनिया", "!"]),
        ("a\u0323\u0306n cơm", ["a\u0323\u0306n", "cơm"]),
        ("می\u200cخواهم آب", ["می\u200cخواهم", "آب"]),
        ("Fuß\u00adball", ["Fuß\u00adball"]),
        ("\ufeffHund\x1f.", ["Hund", "."]),
        ("a\u200e b\u2060c \u200d d", ["a", "b\u2060c", "d"]),
        ("👍🏽 🇩🇪🇫🇷", ["👍🏽", "🇩🇪", "🇫🇷"]),
        ("か\u3099く", ["か\u3099", "く"]),
        ("", []),
    ],
)
def test_words_are_what_a_reader_takes_for_one(text: str, wanted: list[str]) -> None:
    """Signs and marks inside a word stay in it, signs stand alone, and scripts without spaces go by character."""
    assert [unit.text for unit in words(text)] == wanted


@pytest.mark.parametrize("level", ["words", "pieces"])
def test_identity_attention_with_one_piece_a_word_is_the_diagonal(level: Level) -> None:
    """Nothing is pooled, so nothing changes."""
    text = "eins zwei drei"

    alignment = align(level, (text, spans_of(text)), (text, spans_of(text)), np.eye(4, dtype=np.float32))

    np.testing.assert_allclose(alignment.weights, np.eye(3))
    assert alignment.pharaoh == "0-0 1-1 2-2"


def test_columns_of_the_pieces_of_a_source_word_are_summed() -> None:
    """A word got what its pieces got together."""
    source = ("unklar ja", [(0, 2), (2, 6), (7, 9)])

    alignment = align("words", source, ("no", [(0, 2)]), floats([[0.2, 0.3, 0.5]]))

    np.testing.assert_allclose(alignment.weights, [[0.5, 0.5]])


def test_rows_of_the_pieces_of_a_target_word_are_averaged() -> None:
    """Each piece of a word has the same say."""
    target = ("unklar", [(0, 2), (2, 6)])

    alignment = align("words", ("a b", [(0, 1), (2, 3)]), target, floats([[1, 0], [0.5, 0.5]]))

    np.testing.assert_allclose(alignment.weights, [[0.75, 0.25]])


def test_a_piece_across_two_words_is_divided_by_its_characters() -> None:
    """Three of its four characters are in the first word, so three quarters of its weight go there."""
    source = ("abc.", [(0, 4)])

    alignment = align("words", source, ("x", [(0, 1)]), floats([[1]]))

    np.testing.assert_allclose(alignment.weights, [[0.75, 0.25]])


def test_what_special_pieces_got_is_shared_out_in_proportion() -> None:
    """The tag and the end of sentence took half; what is left grows from 0.4 and 0.1 to 0.8 and 0.2."""
    source = ("a b", [(0, 0), (0, 1), (2, 3), (3, 3)])

    alignment = align("words", source, ("x", [(0, 1)]), floats([[0.3, 0.4, 0.1, 0.2]]))

    np.testing.assert_allclose(alignment.weights, [[0.8, 0.2]], rtol=1e-6)


def test_a_row_that_looked_at_no_word_is_uniform() -> None:
    """All its attention went to the end of sentence, which says nothing about words."""
    source = ("a b c d", [*spans_of("a b c d")])

    alignment = align("words", source, ("x", [(0, 1)]), floats([[0, 0, 0, 0, 1]]))

    np.testing.assert_allclose(alignment.weights, [[0.25] * 4])


@pytest.mark.parametrize("level", LEVELS)
def test_an_empty_source_has_no_links(level: Level) -> None:
    """There is nothing to link to, and that is no error."""
    alignment = align(level, ("", [(0, 0)]), ("x y", spans_of("x y")), np.ones((3, 1), dtype=np.float32))

    assert alignment.weights.shape == (2, 0)
    assert alignment.links == []
    assert alignment.pharaoh == ""


@pytest.mark.parametrize("level", LEVELS)
def test_an_empty_target_has_no_links(level: Level) -> None:
    """Nothing was written, so nothing came from anywhere."""
    alignment = align(level, ("x y", spans_of("x y")), ("", []), np.ones((0, 3), dtype=np.float32))

    assert alignment.weights.shape == (0, 2)
    assert alignment.links == []


def test_bytes_of_one_character_are_one_piece_to_the_eye() -> None:
    """Four pieces of an emoji are one unit, and pieces without characters are none."""
    assert visible_pieces("a😀", [(0, 0), (0, 1), (1, 2), (1, 2), (1, 2), (1, 2), (2, 2)]) == [
        Unit("a", 0, 1),
        Unit("😀", 1, 2),
    ]


def test_overlaps_are_shares_of_the_piece() -> None:
    """(pieces, units): how much of each piece lies in each unit; an empty piece lies in none."""
    shares = overlaps([(0, 4), (4, 6), (6, 6)], [Unit("abc", 0, 3), Unit("def", 3, 6)])

    np.testing.assert_allclose(shares, [[0.75, 0.25], [0, 1], [0, 0]])


@given(case=cases())
def test_each_target_unit_has_one_link(case: tuple[Side, Side, Floats]) -> None:
    """Links are in the order of the target, one each, with the weight behind them."""
    alignment = align("words", *case)
    links = alignment.links

    if alignment.source:
        assert [link.target for link in links] == list(range(len(alignment.target)))
        assert [link.weight for link in links] == [alignment.weights[link.target, link.source] for link in links]


def test_where_all_source_units_got_the_same_the_link_goes_to_the_largest_weight() -> None:
    """Then there is nothing to compete for."""
    assert linked([[0.6, 0.4], [0.4, 0.6]]) == [0, 1]


def test_a_source_unit_that_everything_looks_at_loses_to_one_that_only_this_looks_at() -> None:
    """The full stop gets 2.1 in all; what the second target unit gave it is a smaller share than what it gave b."""
    assert linked([[0.3, 0.0, 0.7], [0.1, 0.4, 0.5], [0.1, 0.0, 0.9]]) == [0, 1, 2]


def test_a_source_unit_that_hardly_anything_looked_at_draws_no_link() -> None:
    """A hundredth of the attention is chance, though it is all that the unit got."""
    assert linked([[0.99, 0.01], [1.0, 0.0]]) == [0, 0]


def test_characters_of_linked_pieces_are_linked_in_order() -> None:
    """Five characters that came from three, and two that came from four; what lies within a piece has equal weights."""
    source, target = ("abc defg", [(0, 3), (4, 8)]), ("vwxyz no", [(0, 5), (6, 8)])

    alignment = align("characters", source, target, floats([[0.9, 0.1], [0.1, 0.9]]))

    assert [link.source for link in alignment.links] == [0, 0, 1, 1, 2, 3, 5]
    np.testing.assert_allclose(alignment.weights[0], [0.3] * 3 + [0.025] * 4, atol=1e-6)


def test_a_character_has_its_marks() -> None:
    """An accent, the parts of an emoji and of a Hindi syllable are no characters of their own."""
    assert [unit.text for unit in characters("e\u0301 👩‍👩‍👧ना")] == ["e\u0301", "👩‍👩‍👧", "ना"]


def linked(weights: list[list[float]]) -> list[int]:
    """The source unit of each target unit."""
    source, target = ([Unit("x", 2 * i, 2 * i + 1) for i in range(size)] for size in (len(weights[0]), len(weights)))
    return [link.source for link in Alignment("words", source, target, floats(weights)).links]


@given(parts=st.lists(cases(), min_size=1, max_size=3))
def test_links_of_a_merged_text_are_those_of_its_sentences(parts: list[tuple[Side, Side, Floats]]) -> None:
    """What stands in another sentence does not compete."""
    alignments = [align("words", *part) for part in parts]
    alone = [link.weight for alignment in alignments for link in alignment.links if link.weight > 0]

    merged = merge("words", [(alignment, 0, 0) for alignment in alignments])

    assert [link.weight for link in merged.links if link.weight > 0] == alone


def test_pharaoh_is_source_dash_target_sorted_by_source() -> None:
    """The format that alignment tools read: pairs of indices from 0, parted by spaces."""
    units = [Unit("a", 0, 1), Unit("b", 2, 3)]
    alignment = Alignment("words", units, units, floats([[0.1, 0.9], [0.6, 0.4]]))

    assert alignment.links == [Link(1, 0, pytest.approx(0.9)), Link(0, 1, pytest.approx(0.6))]
    assert alignment.pharaoh == "0-1 1-0"


def test_merging_shifts_the_units_of_each_part() -> None:
    """Units stand in the whole text where their sentence does, in source and target on its own."""
    first = align("words", ("a b", spans_of("a b")), ("x", spans_of("x")), np.ones((2, 3), dtype=np.float32))
    second = align("words", ("c", spans_of("c")), ("y z", spans_of("y z")), np.ones((3, 2), dtype=np.float32))

    merged = merge("words", [(first, 0, 0), (second, 5, 3)])

    assert merged.source == [Unit("a", 0, 1), Unit("b", 2, 3), Unit("c", 5, 6)]
    assert merged.target == [Unit("x", 0, 1), Unit("y", 3, 4), Unit("z", 5, 6)]


@given(parts=st.lists(cases(), max_size=4))
def test_merged_weights_are_block_diagonal(parts: list[tuple[Side, Side, Floats]]) -> None:
    """No word comes from another sentence: each part is a block, and everything else is 0."""
    alignments = [align("words", *part) for part in parts]

    merged = merge("words", [(alignment, 0, 0) for alignment in alignments])

    rest = merged.weights.copy()
    row = column = 0
    for alignment in alignments:
        height, width = alignment.weights.shape
        np.testing.assert_array_equal(merged.weights[row : row + height, column : column + width], alignment.weights)
        rest[row : row + height, column : column + width] = 0
        row, column = row + height, column + width
    assert (row, column) == merged.weights.shape
    assert not rest.any()


@given(parts=st.lists(st.tuples(cases(), st.text(" \n", min_size=1, max_size=3)), max_size=4))
def test_units_of_a_merged_text_stand_where_they_say(
    parts: list[tuple[tuple[Side, Side, Floats], str]],
) -> None:
    """`text[start:end]` is the unit also after the sentences are put together."""
    source = target = ""
    placed = []
    for (own_source, own_target, weights), gap in parts:
        placed.append((align("words", own_source, own_target, weights), len(source), len(target)))
        source, target = source + own_source[0] + gap, target + own_target[0] + gap

    merged = merge("words", placed)

    assert all(source[unit.start : unit.end] == unit.text for unit in merged.source)
    assert all(target[unit.start : unit.end] == unit.text for unit in merged.target)
