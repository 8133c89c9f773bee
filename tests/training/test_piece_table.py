"""Sentences as pieces: the same from memory and from files, which appear as a whole or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.text.tokenizer import PAD
from training.disk import key_of
from training.piece_table import PieceTable, Sentences, stored_tables

sentence = st.lists(st.integers(0, 63_999), min_size=1, max_size=9)


@given(pairs=st.lists(st.tuples(sentence, sentence), max_size=30))
def test_tables_on_disk_are_those_in_memory(pairs: list[Sentences], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lengths and pieces, in any order of rows."""
    stored = stored_tables(tmp_path_factory.mktemp("store"), "key", iter(pairs))
    rows = np.random.default_rng(0).permutation(len(pairs))
    for side, table in enumerate(stored):
        expected = [list(pair[side]) for pair in pairs]

        assert len(table) == len(pairs)
        assert table.lengths(slice(0, len(pairs))).tolist() == [len(row) for row in expected]
        assert PieceTable.of(expected).lengths(rows).tolist() == table.lengths(rows).tolist()
        if pairs:
            padded = table.padded(rows, begin=2)
            table.release()
            assert padded.tolist() == PieceTable.of(expected).padded(rows, begin=2).tolist()
            assert [row[1 : 1 + n] for row, n in zip(padded.tolist(), table.lengths(rows), strict=True)] == [
                expected[row] for row in rows
            ]


def test_padding_is_at_the_end() -> None:
    """And the piece to begin with at the start."""
    table = PieceTable.of([[5, 6, 3], [7, 3]])

    assert table.padded(np.array([1, 0])).tolist() == [[7, 3, PAD], [5, 6, 3]]
    assert table.padded(np.array([1, 0]), begin=2).tolist() == [[2, 7, 3, PAD], [2, 5, 6, 3]]


def test_tables_are_made_once_a_content_and_replace_the_older(tmp_path: Path) -> None:
    """The key changes with the files and the settings; what another key made goes away."""
    (tmp_path / "text").write_text("a")
    first = key_of([tmp_path / "text"], "x")
    (tmp_path / "text").write_text("b")
    second = key_of([tmp_path / "text"], "x")
    stored_tables(tmp_path / "store", first, [([1], [2])])
    again, _ = stored_tables(tmp_path / "store", first, iter(lambda: pytest.fail("made twice"), None))
    stored_tables(tmp_path / "store", second, [([1], [2])])

    assert len({first, second, key_of([tmp_path / "text"], "y")}) == 3
    assert len(again) == 1
    assert [path.name for path in (tmp_path / "store").iterdir()] == [second]


def test_runs_that_cut_at_the_same_time_leave_each_other_in_peace(tmp_path: Path) -> None:
    """One of another key does not lose what it has written so far; one of the same key takes what is there first."""
    store, rows = tmp_path / "store", [([1], [2]), ([3], [4])]

    def interrupted(key: str) -> Iterator[Sentences]:
        yield rows[0]
        stored_tables(store, key, rows)
        yield rows[1]

    for key in ("another", "same"):
        source, target = stored_tables(store, "same", interrupted(key))
        assert (len(source), target.padded(np.arange(2)).tolist()) == (2, [[2], [4]])
        shutil.rmtree(store / "same")


def test_tables_that_another_run_is_clearing_away_are_made_anew(tmp_path: Path) -> None:
    """Between the look whether they are there and their opening, half of the files may have gone."""
    rows = [([1], [2]), ([3], [4])]
    stored_tables(tmp_path, "key", rows)
    (tmp_path / "key/target.starts").unlink()

    for pairs in (rows, iter(lambda: pytest.fail("made twice"), None)):
        source, target = stored_tables(tmp_path, "key", pairs)
        assert (len(source), target.padded(np.arange(2)).tolist()) == (2, [[2], [4]])


def test_what_a_killed_run_left_is_cleared_away_after_a_day(tmp_path: Path) -> None:
    """Not before: it may be alive on another machine."""
    new, empty, old = (tmp_path / f".k.{number}.partial" for number in range(3))
    for folder, age in ((new, 3600), (empty, 0), (old, 90_000)):
        folder.mkdir()
        if folder != empty:
            (folder / "source.pieces").touch()
            os.utime(folder / "source.pieces", times=(time.time() - age,) * 2)
            os.utime(folder, times=(time.time() - age,) * 2)
    stored_tables(tmp_path, "key", [([1], [2])])

    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, empty.name, "key"]


def test_tables_that_were_cut_short_leave_nothing(tmp_path: Path) -> None:
    """An error in the middle of the corpus leaves no half table that a later run would take for whole."""

    def pairs() -> Iterator[Sentences]:
        yield [1], [2]
        raise ValueError("line 2 is bad")

    with pytest.raises(ValueError, match="line 2 is bad"):
        stored_tables(tmp_path / "store", "key", pairs())
    assert not list((tmp_path / "store").iterdir())
    assert len(stored_tables(tmp_path / "store", "key", [([1], [2])])[0]) == 1
