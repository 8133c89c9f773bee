"""Dev and test files of the user."""

from pathlib import Path

import pytest

from nmt.errors import DataError
from training.corpus.held_out import read_held_out
from training.corpus.records import Direction

EN_DE, DE_EN = ("en", "de"), ("de", "en")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with single and with several references, and one that is German to English."""
    (tmp_path / "single.tsv").write_text("Go.\tGeh.\nRun.\tLauf.\n")
    (tmp_path / "several.tsv").write_text("Go.\tGeh.\tGeht.\n")
    (tmp_path / "reverse.tsv").write_text("Geh.\tGo.\tWalk.\n")
    (tmp_path / "bad.tsv").write_text("no tab\nTom\tTom\nTom\tTom\n")
    return tmp_path


def test_plain_file_serves_both_directions(folder: Path) -> None:
    """Single references are translations of their own: they are read backwards as well."""
    pairs, _ = read_held_out([f"{folder}/single.tsv"], [EN_DE, DE_EN], EN_DE, None, "nfc")

    assert pairs == {EN_DE: [("Go.", "Geh."), ("Run.", "Lauf.")], DE_EN: [("Geh.", "Go."), ("Lauf.", "Run.")]}


def test_plain_file_for_backward_only(folder: Path) -> None:
    """A plain file is source to target even when only the other direction is trained."""
    pairs, _ = read_held_out([f"{folder}/single.tsv"], [DE_EN], EN_DE, None, "nfc")

    assert pairs == {DE_EN: [("Geh.", "Go."), ("Lauf.", "Run.")]}


def test_own_file_beats_reversal(folder: Path) -> None:
    """A direction with a file of its own takes nothing from a plain one, which then may have several references."""
    files = [f"{folder}/several.tsv", f"de-en={folder}/reverse.tsv"]

    pairs, _ = read_held_out(files, [EN_DE, DE_EN], EN_DE, None, "nfc")

    assert pairs == {EN_DE: [("Go.", "Geh."), ("Go.", "Geht.")], DE_EN: [("Geh.", "Go."), ("Geh.", "Walk.")]}


def test_only_unusable_lines_go(folder: Path) -> None:
    """Identical or repeated pairs are part of a test set; a line without a translation is not, and is counted."""
    pairs, report = read_held_out([f"{folder}/bad.tsv"], [EN_DE], EN_DE, None, "nfc")

    assert pairs == {EN_DE: [("Tom", "Tom"), ("Tom", "Tom")]}
    assert {reason.value: dropped.count for reason, dropped in report.dropped.items()} == {"malformed": 1}


@pytest.mark.parametrize(
    ("files", "directions", "message"),
    [
        (
            ["{}/several.tsv"],
            [EN_DE, DE_EN],
            r"several references in line 1, so .* reversed for de-en; name it en-de=.* and add de-en=FILE",
        ),
        (["de-en={}/reverse.tsv"], [EN_DE, DE_EN], r"no pair for the direction en-de; add en-de=FILE"),
        (["de-en={}/reverse.tsv"], [EN_DE], r"is for the direction de-en, but what is prepared is en-de"),
        (["{}/none.tsv"], [EN_DE], r"none\.tsv is not there"),
    ],
)
def test_what_does_not_fit(folder: Path, files: list[str], directions: list[Direction], message: str) -> None:
    """A direction without sentences is an error that says what to add."""
    with pytest.raises(DataError, match=message):
        read_held_out([file.format(folder) for file in files], directions, EN_DE, None, "nfc")
