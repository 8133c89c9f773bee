"""Test sets for `nmt evaluate` and guards are read as `nmt prepare` reads those that are given to it."""

from pathlib import Path

import pytest

from nmt.errors import DataError
from training.corpus.held_out import read_held_out
from training.corpus.test_sets import read_test_set

EN_DE = ("en", "de")
TMX = """<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-GB"><seg>The <bpt i="1">&lt;b></bpt>dog<ept i="1">&lt;/b></ept>.</seg></tuv>
    <tuv xml:lang="de"><seg>Der Hund.</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Not in German.</seg></tuv><tuv xml:lang="fr"><seg>Non.</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Empty.</seg></tuv><tuv xml:lang="de"><seg/></tuv></tu>
<tu><tuv xml:lang="en"><seg>A cat.</seg></tuv><tuv xml:lang="de-AT"><seg/></tuv>
    <tuv xml:lang="de"><seg>Eine Katze.</seg></tuv></tu>
</body></tmx>"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.tsv", "English\tGerman\nA dog.\tEin Hund.\tDer Hund.\nA cat.\tEine Katze.\n"),
        ("x.txt", "A dog.\tEin Hund.\t\tDer Hund.\nA cat.\tEine Katze.\n"),
        ("x.tsv", '"Oh, ""no""."\t"Ach, ""nein""."\nA cat.\tEine Katze.\n'),
        (
            "x.jsonl",
            '{"en": "A dog.", "de": ["Ein Hund.", "Der Hund."]}\n{"source": "A cat.", "target": "Eine Katze."}\n',
        ),
        ("x.tmx", TMX),
    ],
)
def test_a_file_holds_the_pairs_that_preparing_finds_in_it(tmp_path: Path, name: str, content: str) -> None:
    """Names of columns and quotes of a spreadsheet are no text; what a memory has beside its pairs is passed over."""
    (tmp_path / name).write_text(content, encoding="utf-8")

    found = read_test_set([tmp_path / name], EN_DE)

    stated = "tsv" if name == "x.txt" else None
    prepared, _ = read_held_out([str(tmp_path / name)], [EN_DE], EN_DE, stated, "nfc")
    assert [(source, target) for source, targets in found for target in targets] == prepared[EN_DE]
    assert found[-1] == ("A cat.", ["Eine Katze."])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", b"a\tb\nno tab\n", r"x\.tsv, line 2: wanted a source and at least one reference, got 'no tab'"),
        ("x.tsv", b"a\tb\n\tc\n", r"x\.tsv, line 2: wanted a source and at least one reference, got \['', 'c'\]"),
        ("x.tsv", b"a\tb\nGr\xfc\xdfe\tc\n", r"x\.tsv, line 2 is broken \(not UTF-8\); .* iconv -f WINDOWS-1252"),
        ("x.jsonl", b'{"en": "a"}\n', r"x\.jsonl, line 1: wanted .* \(neither source and target nor en and de"),
        ("x.tmx", TMX.replace('"de"', '"it"').encode(), r"x\.tmx has no sentence en-de; a test set has at least one"),
        ("x.tsv", b"", r"x\.tsv has no sentence en-de"),
        ("x.tmx", TMX.replace("Katze", "K\xe4tze").encode("latin-1"), r"x\.tmx, line \d is broken .* iconv"),
        ("x.jsonl", b'{"en": "a \\ud83d", "de": "b"}\n', r"x\.jsonl, line 1: half a surrogate pair at 2 of 'a "),
    ],
)
def test_a_row_without_a_pair_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """What is dropped would shift the links that belong to the lines."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=message):
        read_test_set([tmp_path / name], EN_DE)


def test_parallel_files_are_columns(tmp_path: Path) -> None:
    """One source, and references beside it, some of which may be empty."""
    for name, text in {"x.en": "a\nb\n", "x.de": "c\n\n", "y.de": "d\ne\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert read_test_set([tmp_path / name for name in ("x.en", "x.de", "y.de")], EN_DE) == [
        ("a", ["c", "d"]),
        ("b", ["e"]),
    ]
    with pytest.raises(DataError, match=r"x\.en, line 2: wanted a source and at least one reference, got \['b', ''\]"):
        read_test_set([tmp_path / "x.en", tmp_path / "x.de"], EN_DE)
