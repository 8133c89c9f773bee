"""The alignment error rate, on cases that can be reckoned by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError, InputError
from nmt.scoring.alignment_error import AlignmentScore, GoldLinks, Pair, alignment_score

PAIRS = st.frozensets(st.tuples(st.integers(0, 3), st.integers(0, 3)))
GOLD = st.builds(lambda sure, possible: GoldLinks(sure, sure | possible), PAIRS, PAIRS)


def test_a_line_has_sure_and_possible_links() -> None:
    """Sure ones are possible, too; both spellings of the mark are read."""
    assert GoldLinks.parse("0-0 10?1 2p3") == GoldLinks(frozenset({(0, 0)}), frozenset({(0, 0), (10, 1), (2, 3)}))


@pytest.mark.parametrize("text", ["1", "1-", "-1", "1--2", "1_2", "a-b", "1-2-3"])
def test_what_is_no_link_is_refused(text: str) -> None:
    """The message shows it."""
    with pytest.raises(DataError, match=f"'{text}' is no link; wanted: 1-2 for a sure one, 1\\?2 for a possible"):
        GoldLinks.parse(f"0-0 {text}")


def test_the_rate_of_a_case_by_hand() -> None:
    """A = 4 links, of which 2 are sure and 3 possible; S = 3: 1 - (2 + 3) / (4 + 3)."""
    gold = [GoldLinks.parse("0-0 1-1 2?1"), GoldLinks.parse("0-2")]
    links = [[(0, 0), (1, 1), (2, 1)], [(5, 5)]]

    assert alignment_score(links, gold) == AlignmentScore(pytest.approx(2 / 7), 3 / 4, pytest.approx(2 / 3))


@given(gold=st.lists(GOLD), extra=st.lists(PAIRS))
def test_all_sure_and_some_possible_links_are_perfect(gold: list[GoldLinks], extra: list[frozenset[Pair]]) -> None:
    """Possible links may be drawn or left out."""
    links = [own.sure | (own.possible & more) for own, more in zip(gold, [*extra, *[frozenset()] * 99], strict=False)]

    assert alignment_score(links, gold) == AlignmentScore(0, 1, 1)


@given(links=st.lists(PAIRS, min_size=2, max_size=2), gold=st.lists(GOLD, min_size=2, max_size=2))
def test_without_possible_links_it_is_one_minus_f1(links: list[frozenset[Pair]], gold: list[GoldLinks]) -> None:
    """Then precision and recall count the same links."""
    gold = [GoldLinks(own.sure, own.sure) for own in gold]
    score = alignment_score(links, gold)
    both = score.precision + score.recall

    if any(links) and any(own.sure for own in gold):
        assert 1 - score.error_rate == pytest.approx(2 * score.precision * score.recall / both if both else 0)


def test_links_and_gold_of_different_length_are_refused() -> None:
    """They would be compared with the wrong ones."""
    with pytest.raises(InputError, match="links of 1 sentences for 0 gold ones; one each is wanted"):
        alignment_score([[]], [])
