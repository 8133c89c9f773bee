"""PO catalogues."""

from pathlib import Path

import pytest
from corpora import lines_of, pairs, rejected
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError

HEAD = """# A comment
msgid ""
msgstr ""
"Language: de_DE\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

"""
ENTRY = 'msgid "Go."\nmsgstr "Geh."\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.po"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ENTRY, ("Go.", "Geh.")),
        ('#: a.c:1\n#, c-format\n#| msgid "Old"\nmsgctxt "menu"\n' + ENTRY, ("Go.", "Geh.")),
        (
            'msgid ""\n"Several "\n"lines.\\n"\nmsgstr ""\n"Mehrere "\n\n"Zeilen.\\n"\n',
            ("Several lines.\n", "Mehrere Zeilen.\n"),
        ),
        ('msgid "A \\"quote\\""\nmsgstr "Ein \\"Zitat\\""\n', ('A "quote"', 'Ein "Zitat"')),
        (ENTRY.replace("\n", "\r\n"), ("Go.", "Geh.")),
    ],
)
def test_entries(file: Path, entry: str, expected: tuple[str, str]) -> None:
    """Comments, contexts and several lines are understood."""
    assert pairs(lines_of(file, HEAD + entry)) == [expected]


def test_lines_and_languages(file: Path) -> None:
    """An entry stands where its first line is; a catalogue into the source language is turned."""
    content = HEAD + ENTRY + "\n\n# more\n" + ENTRY + ENTRY

    assert [line.line for line in lines_of(file, content)] == [8, 12, 15]
    assert pairs(lines_of(file, content, ("de", "en")))[0] == ("Geh.", "Go.")
    assert pairs(lines_of(file, ENTRY, ("de", "en"))) == [("Go.", "Geh.")]
    assert pairs(lines_of(file, HEAD.replace("de_DE", "ca@valencia") + ENTRY, ("en", "ca"))) == [("Go.", "Geh.")]


PLURAL = 'msgid "%d file"\nmsgid_plural "%d files"\n'


@pytest.mark.parametrize(
    ("rule", "forms", "expected"),
    [
        (
            "nplurals=2; plural=(n != 1)",
            ["%d Datei", "%d Dateien"],
            [("%d file", "%d Datei"), ("%d files", "%d Dateien")],
        ),
        ("nplurals=1; plural=0", ["%d 件"], [("%d files", "%d 件")]),
        ("nplurals=3; plural=n==0 ? 0 : n==1 ? 1 : 2", ["0", "1", "n"], [("%d file", "1"), ("%d files", "0", "n")]),
        ("nplurals=2; plural=n %% 0", ["a", "b"], [("%d file", "a"), ("%d files", "b")]),
        ("nplurals=2; plural=" + "(" * 999, ["a", "b"], [("%d file", "a"), ("%d files", "b")]),
    ],
)
def test_plurals(file: Path, rule: str, forms: list[str], expected: list[tuple[str, ...]]) -> None:
    """The form for one belongs to the singular, the others to the plural; a rule that makes no sense is passed over."""
    head = HEAD.replace("nplurals=2; plural=(n != 1)", rule)
    entry = PLURAL + "".join(f'msgstr[{i}] "{form}"\n' for i, form in enumerate(forms))

    assert pairs(lines_of(file, head + entry)) == expected


def test_turned_plurals(file: Path) -> None:
    """Each form is a source of its own."""
    content = HEAD + PLURAL + 'msgstr[0] "%d Datei"\nmsgstr[1] "%d Dateien"\n'

    assert pairs(lines_of(file, content, ("de", "en"))) == [("%d Datei", "%d file"), ("%d Dateien", "%d files")]


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        ("#, fuzzy\n" + ENTRY, "fuzzy or not approved", "fuzzy"),
        ('#~ msgid "Go."\n#~ msgstr "Geh."\n', "fuzzy or not approved", "obsolete"),
        ('msgid "Go."\nmsgstr ""\n', "not translated", ""),
        (PLURAL + 'msgstr[0] "%d Datei"\nmsgstr[1] ""\n', "not translated", ""),
        ('msgid "Go.\nmsgstr "Geh."\n', "malformed", "no PO in line 11: 'msgid \"Go."),
        ('msgid "Go."\nnonsense\nmsgstr "Geh."\n', "malformed", "no PO in line 12: 'nonsense'"),
        ('msgid "A "quote""\nmsgstr "x"\n', "malformed", "no PO in line 11"),
        ('msgid "Gr\xfc\xdfe"\nmsgstr "x"\n', "broken encoding", "not UTF-8"),
        (f'msgid "{"x" * 1_100_000}"\nmsgstr "x"\n', "too long", "longer than 1,000,000 bytes"),
        ('msgid "a"\nmsgid "b"\nmsgstr "x"\n', "malformed", "no PO: (line 2)"),
        ('msgctxt "a"\nmsgstr "x"\n', "malformed", "no PO: (line 2)"),
        ("msgid\nmsgstr\n", "malformed", "no PO in line 11: 'msgid'"),
    ],
)
def test_a_bad_entry_costs_itself_alone(file: Path, bad: str, reason: str, detail: str) -> None:
    """It is rejected with its reason and line; those around it are read."""
    lines = lines_of(file, (HEAD + ENTRY + "\n").encode() + bad.encode("latin-1") + b"\n" + ENTRY.encode())

    assert pairs(lines) == [("Go.", "Geh.")] * 2
    ((line, found, told),) = rejected(lines)
    assert (line, found) == (11, reason)
    assert told.startswith(detail)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8-sig", "CHARSET"])
def test_encodings(file: Path, encoding: str) -> None:
    """The header names it; the placeholder of templates is UTF-8, and a byte-order mark is passed over."""
    head = HEAD if encoding == "utf-8-sig" else HEAD.replace("UTF-8", encoding)
    content = (head + 'msgid "Greetings"\nmsgstr "Grüße"\n').encode(encoding.replace("CHARSET", "utf-8"))

    assert pairs(lines_of(file, content)) == [("Greetings", "Grüße")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("charset", ["UTF-16", "UTF-8", "iso-8859-1"])
def test_utf_16(file: Path, encoding: str, charset: str) -> None:
    """It is seen in the file itself, with or without a byte-order mark, whatever the header still says."""
    content = HEAD.replace("UTF-8", charset) + 'msgid "Greetings"\nmsgstr "Grüße"\n\n' + ENTRY

    assert pairs(lines_of(file, content.encode(encoding))) == [("Greetings", "Grüße"), ("Go.", "Geh.")]


def test_half_a_character_of_utf_16(file: Path) -> None:
    """It costs its own entry."""
    content = HEAD + ENTRY.replace("Geh.", "@") + "\n" + ENTRY
    lines = lines_of(file, content.encode("utf-16").replace("@".encode("utf-16-le"), b"\x00\xd8"))

    assert rejected(lines) == [(8, "broken encoding", "not utf-8")]
    assert pairs(lines) == [("Go.", "Geh.")]


@pytest.mark.parametrize("encoding", ["klingon", "utf-16", "rot13"])
def test_unknown_encoding(file: Path, encoding: str) -> None:
    """It is named."""
    with pytest.raises(DataError, match=rf"x\.po says that its charset is '{encoding}', which cannot be read; save it"):
        lines_of(file, HEAD.replace("UTF-8", encoding) + ENTRY)


def test_an_entry_that_speaks_of_encodings(file: Path) -> None:
    """Only the header names the encoding."""
    entry = 'msgid ""\n"charset=klingon"\nmsgstr ""\n"Zeichensatz"\n'

    assert pairs(lines_of(file, HEAD + ENTRY + entry))[1] == ("charset=klingon", "Zeichensatz")


def test_another_language(file: Path) -> None:
    """The catalogue of another language gives nothing, and says so."""
    lines = lines_of(file, HEAD.replace("de_DE", "fr") + ENTRY)

    assert rejected(lines) == [(8, "not in the languages", "the file is in fr")]


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n", "/etc/passwd", "plain text\n"])
def test_no_po_at_all(file: Path, content: str) -> None:
    """A file of another kind is named, and what it says is not opened."""
    with pytest.raises(DataError, match=r"x\.po is no PO file: there is no entry with msgid and msgstr in it"):
        lines_of(file, content)


WORDS = 'msgid msgstr msgstr[0] msgstr[x] msgstr[ msgid_plural msgctxt "" "text" " #,fuzzy #~ #~| #| #: # \\'.split()
HEADERS = ['"charset=utf-8\\n"', '"charset=x\\n"', '"Plural-Forms: plural=n/0;\\n"', '"Language: fr\\n"']
pieces = st.sampled_from([*WORDS, *HEADERS, " ", "\n", "\n", "\n", "\x00", "\ufeff", "\r"])


@given(content=st.lists(pieces, max_size=40).map("".join) | st.binary(max_size=100))
def test_no_content_ends_a_run_unexpectedly(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    """Any bytes are entries, rejected, or no PO: no other exception."""
    try:
        lines_of(tmp_path_factory.getbasetemp() / "fuzz.po", content)
    except DataError as error:
        assert any(part in str(error) for part in ("is no PO file", "its charset", "packed"))  # noqa: PT017
