"""Reading parallel text in every format and every state of disrepair."""

import gzip
import json
import lzma
import zipfile
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import assume, given
from hypothesis import strategies as st

from nmt.errors import DataError
from training.corpus.files import encoding_of
from training.corpus.readers import Format, decoded, locate, read
from training.corpus.records import Line, Pair, Reason, Rejected

EN_DE = ("en", "de")


def lines_of(text: str, stated: Format | None = None, references: bool = False) -> list[Line]:
    return [line for location in locate(text, EN_DE, stated) for line in read(location, EN_DE, references)]


def texts_of(lines: list[Line]) -> list[tuple[str, tuple[str, ...]]]:
    return [(line.source, line.targets) for line in lines if isinstance(line, Pair)]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


PACKINGS = [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstd.compress)]


@pytest.mark.parametrize(("ending", "compress"), [("", bytes), *PACKINGS], ids=["plain", "gz", "xz", "zst"])
def test_every_compression(tmp_path: Path, ending: str, compress: type[bytes]) -> None:
    """A file is unpacked as its name says."""
    file = write(tmp_path / f"x.tsv{ending}", compress("Go.\tGeh.\nÄh?\tHä?\n".encode()))

    assert texts_of(lines_of(file)) == [("Go.", ("Geh.",)), ("Äh?", ("Hä?",))]


def test_moses_pair(tmp_path: Path) -> None:
    """Two files are joined line by line; records name the source file."""
    source, target = (
        write(tmp_path / "x.en", b"Go.\nRun."),
        write(tmp_path / "x.de.gz", gzip.compress(b"Geh.\nLauf.\n")),
    )

    assert lines_of(f"{source},{target}") == [Pair("Go.", ("Geh.",), source, 1), Pair("Run.", ("Lauf.",), source, 2)]


def test_moses_pair_of_long_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they are longer than a name can be."""
    monkeypatch.chdir(tmp_path)
    names = [write(Path(f"{'x' * 200}.{language}"), b"Go.") for language in EN_DE]

    assert texts_of(lines_of(",".join(names))) == [("Go.", ("Go.",))]


@pytest.mark.parametrize(
    "value",
    [
        {"source": "Go.", "target": "Geh."},
        {"en": "Go.", "de": "Geh.", "id": 7},
        {"translation": {"de": "Geh.", "en": "Go."}},
        {"source": "Go.", "target": ["Geh."]},
        {"de_AT": "Geh.", "en-US": "Go."},
        {"en-GB": "Walk.", "en": "Go.", "DE": "Geh."},
    ],
)
def test_json_shapes(tmp_path: Path, value: object) -> None:
    """Each of the usual shapes of a JSON line is understood; a language's own code comes before that of a region."""
    file = write(tmp_path / "x.jsonl", json.dumps(value).encode())

    assert texts_of(lines_of(file)) == [("Go.", ("Geh.",))]


def test_json_references(tmp_path: Path) -> None:
    """A list of targets are several references."""
    file = write(tmp_path / "x.jsonl", b'{"source": "Go.", "target": ["Geh.", "Geht."]}')

    assert texts_of(lines_of(file)) == [("Go.", ("Geh.", "Geht."))]


def test_columns_are_references_on_request(tmp_path: Path) -> None:
    """TSV columns after the second are references of dev and test sets, but remarks in a corpus."""
    file = write(tmp_path / "x.tsv", b"Go.\tGeh.\tGeht.\t\n")

    assert texts_of(lines_of(file, references=True)) == [("Go.", ("Geh.", "Geht."))]
    assert texts_of(lines_of(file)) == [("Go.", ("Geh.",))]


SPREADSHEET = '"He said ""no"", then left."\t"Er sagte ""nein"" und ging."\n"Yes, I do."\t"Ja, gern."\nGo.\tGeh.\n'


def test_cells_in_the_quotes_of_a_spreadsheet(tmp_path: Path) -> None:
    """It puts a cell with a quote or a comma into quotes, which are no part of the text."""
    assert texts_of(lines_of(write(tmp_path / "x.tsv", SPREADSHEET.encode()))) == [
        ('He said "no", then left.', ('Er sagte "nein" und ging.',)),
        ("Yes, I do.", ("Ja, gern.",)),
        ("Go.", ("Geh.",)),
    ]


def test_a_file_with_all_cells_in_quotes(tmp_path: Path) -> None:
    """Some programs write that."""
    file = write(tmp_path / "x.tsv", b'"en"\t"de"\n"Go."\t"Geh."\n"Run."\t"Lauf."\n')

    assert texts_of(lines_of(file)) == [("Go.", ("Geh.",)), ("Run.", ("Lauf.",))]


@pytest.mark.parametrize(
    "rows", ['"Hello, world"\t"Hallo, Welt"\nGo.\tGeh.\n', '"Hello"\t"Hallo"\t1\n"Go."\t"Geh."\t2.5\n']
)
def test_files_without_any_quote_of_their_own(tmp_path: Path, rows: str) -> None:
    """Quotes around all cells with commas, and around no others, are a spreadsheet's; numbers never have any."""
    found = texts_of(lines_of(write(tmp_path / "x.tsv", rows.encode())))

    assert '"' not in str(found)
    assert len(found) == 2


@pytest.mark.parametrize("other", ["Well, go.\tNa, geh.", '"Go."\t"Geh."'])
def test_quotes_that_do_not_go_with_commas_are_direct_speech(tmp_path: Path, other: str) -> None:
    """A cell with a comma is without, or one with none has them, while others are plain."""
    content = f'"Yes, I do."\t"Ja, gern."\n{other}\nRun.\tLauf.\n'

    assert texts_of(lines_of(write(tmp_path / "x.tsv", content.encode())))[0] == ('"Yes, I do."', ('"Ja, gern."',))


def test_quotes_of_direct_speech_stay(tmp_path: Path) -> None:
    """Where nobody doubles quotes, those around a cell are part of the text."""
    rows = [('"Yes, I do."', ('"Ja, gern."',)), ('"No," he said.', ('"Nein", sagte er.',)), ('"" is empty', ('""',))]
    content = "".join(f"{source}\t{target}\n" for source, (target,) in rows)

    assert texts_of(lines_of(write(tmp_path / "x.tsv", content.encode()))) == rows


def test_a_cell_of_several_lines(tmp_path: Path) -> None:
    """Its parts are no pairs."""
    content = SPREADSHEET * 3 + '"One\nTwo."\t"Eins\nZwei."\n'

    _, first, second, third = (line for line in lines_of(write(tmp_path / "x.tsv", content.encode())) if line.line > 8)

    assert all(isinstance(line, Rejected) and line.reason is Reason.MALFORMED for line in (first, second, third))
    assert isinstance(second, Rejected)
    assert second.detail == "part of a cell in quotes that has a line break"


@pytest.mark.parametrize("header", ["en\tde", "English\tGerman\tremark", "Source\tTARGET", "en_US\tde-AT"])
def test_names_of_columns(tmp_path: Path, header: str) -> None:
    """They are no pair if they stand in the first line."""
    file = write(tmp_path / "x.tsv", f"{header}\nGo.\tGeh.\nen\tde\n".encode())

    first, *others = lines_of(file)

    assert isinstance(first, Rejected)
    assert first.reason is Reason.HEADER
    assert texts_of(others) == [("Go.", ("Geh.",)), ("en", ("de",))]


@pytest.mark.parametrize("row", ["Go.\tGeh.", "German\tEnglish", "source\tQuelle", "en\t"])
def test_a_first_line_that_is_a_pair(tmp_path: Path, row: str) -> None:
    """It needs the names of both columns, in their order, to be something else."""
    assert len(texts_of(lines_of(write(tmp_path / "x.tsv", row.encode())))) == 1


def test_a_name_with_a_comma(tmp_path: Path) -> None:
    """A file that is there is one file."""
    (location,) = locate(write(tmp_path / "a, b.tsv", b"Go.\tGeh.\n"), EN_DE)

    assert texts_of(list(read(location, EN_DE))) == [("Go.", ("Geh.",))]


def test_stated_format(tmp_path: Path) -> None:
    """A stated format beats the name."""
    file = write(tmp_path / "deu.txt", b"Go.\tGeh.\tCC-BY\n")

    assert texts_of(lines_of(file, "tsv")) == [("Go.", ("Geh.",))]


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    """Neither a byte-order mark nor CRLF becomes text, but a lone CR or U+2028 does not end a line."""
    file = write(tmp_path / "x.tsv", "\ufeffGo.\tGeh.\r\nA\rb\tC\u2028d\r\n".encode())

    assert texts_of(lines_of(file)) == [("Go.", ("Geh.",)), ("A\rb", ("C\u2028d",))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("names", ["x.tsv", "x.en,x.de"])
def test_line_ends_of_old_macs(tmp_path: Path, names: str, encoding: str) -> None:
    """A file with them would be a single pair; the message says how to convert it."""
    paths = [tmp_path / name for name in names.split(",")]
    for path in paths:
        path.write_bytes("Go.\tGeh.\rRun.\tLauf.\r".encode(encoding))

    with pytest.raises(DataError) as caught:
        lines_of(",".join(map(str, paths)))

    assert str(caught.value) == (
        f"{paths[0]} is a single line, since its lines end as on old Macs, in CR alone; convert it: "
        f"tr '\\r' '\\n' < {paths[0]} > converted"
    )


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        ("Gr\xfc\xdfe\tGreetings".encode("latin-1"), Reason.BROKEN, "not UTF-8"),
        (b"no tab here", Reason.MALFORMED, "no tab"),
    ],
)
def test_bad_tsv_line(tmp_path: Path, bad: bytes, reason: Reason, detail: str) -> None:
    """A bad line comes out as rejected, with its number; those around it are read."""
    file = write(tmp_path / "x.tsv", b"Go.\tGeh.\n" + bad + b"\nRun.\tLauf.\n")

    before, rejected, after = lines_of(file)

    assert isinstance(before, Pair)
    assert isinstance(after, Pair)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.line, rejected.file) == (reason, 2, file)
    assert detail in rejected.detail


@pytest.mark.parametrize(
    ("bad", "detail"),
    [
        ("{", "no JSON: Expecting property name enclosed in double quotes at character 2"),
        ("[" * 200_000, "nested too deeply"),
        ('{"source": ' + "1" * 5000 + "}", "a number has too many digits"),
        ("[1]", "a JSON list, not an object"),
        ('{"a": 1, "en": "Go."}', "neither source and target nor en and de among the keys a, en"),
        ('{"source": 5, "target": "Geh."}', "source is of type int, not text"),
        ('{"source": "Go.", "target": []}', "target is an empty list"),
        ('{"source": "Go.", "target": ["Geh.", null]}', "target is of type NoneType, not text"),
    ],
)
def test_bad_json_line(tmp_path: Path, bad: str, detail: str) -> None:
    """A line that is no pair says what is wrong with it."""
    file = write(tmp_path / "x.jsonl", bad.encode())

    (rejected,) = lines_of(file)

    assert isinstance(rejected, Rejected)
    assert detail in rejected.detail


def test_broken_bytes_in_a_moses_pair(tmp_path: Path) -> None:
    """A broken line of either file is rejected in its name, and the files stay in step."""
    source, target = write(tmp_path / "x.en", b"\xff\nRun.\nC"), write(tmp_path / "x.de", b"Geh.\nLauf.\n\xc3")

    first, second, third = lines_of(f"{source},{target}")

    assert isinstance(first, Rejected)
    assert isinstance(second, Pair)
    assert isinstance(third, Rejected)
    assert (first.file, third.file) == (source, target)


@pytest.mark.parametrize("names", ["x.tsv", "x.en,x.de"])
def test_a_file_in_another_encoding(tmp_path: Path, names: str) -> None:
    """What is left of it would lack just the sentences with umlauts; the message says how to convert it."""
    german = "".join(f"Gr{letter}n {i}.\n" for i in range(50) for letter in ("\xfc", "u")).encode("latin-1")
    write(tmp_path / "x.en", b"Green.\n" * 100)
    write(tmp_path / "x.de", german)
    write(tmp_path / "x.tsv", b"".join(b"Green.\t" + line for line in german.splitlines(keepends=True)))
    culprit = tmp_path / names.split(",")[-1]

    with pytest.raises(DataError) as caught:
        list(decoded(lines_of(",".join(str(tmp_path / name) for name in names.split(",")))))

    assert str(caught.value) == (
        f"50 of 100 lines of {culprit} are not in UTF-8; if it is from Windows, convert it: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {culprit} > converted"
    )


@pytest.mark.parametrize(("good", "bad"), [(12, 1), (1, 20), (950, 50)])
@pytest.mark.parametrize("name", ["x.tsv", "x.zip"])
def test_a_few_lines_in_another_encoding(tmp_path: Path, name: str, good: int, bad: int) -> None:
    """Twenty lines, or one of twenty, are no reason to refuse the others."""
    content = b"Go.\tGeh.\n" * good + b"Green.\tGr\xfcn.\n" * bad
    (tmp_path / "x.tsv").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.tsv", content)

    found = list(decoded(lines_of(str(tmp_path / name))))

    assert [isinstance(line, Pair) for line in found] == [True] * good + [False] * bad


@pytest.mark.parametrize(("good", "bad"), [(19, 21), (0, 3)])
def test_too_many_lines_in_another_encoding(tmp_path: Path, good: int, bad: int) -> None:
    """More than twenty, if that is more than one of twenty, or all that hold text."""
    file = write(tmp_path / "x.tsv", b"Go.\tGeh.\n" * good + b"Green.\tGr\xfcn.\n" * bad + b"\n")

    with pytest.raises(DataError, match=rf"^{bad} of {good + bad + 1} lines of .*x\.tsv are not in UTF-8"):
        list(decoded(lines_of(file)))


@pytest.mark.parametrize("name", ["x.tsv", "x.tmx", "x.po"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_sign_for_what_was_unreadable(tmp_path: Path, name: str, encoding: str) -> None:
    """It was decoded as well as any other sign; what it costs is for cleaning to say."""
    unit = '<tu><tuv xml:lang="en"><seg>Gr\ufffdn.</seg></tuv><tuv xml:lang="de"><seg>Green.</seg></tuv></tu>'
    contents = {
        "x.tsv": "Gr\ufffdn.\tGreen.\n" * 30,
        "x.tmx": f"<tmx>{unit * 30}</tmx>",
        "x.po": 'msgid "Gr\ufffdn."\nmsgstr "Green."\n\n' * 30,
    }
    file = write(tmp_path / name, contents[name].encode(encoding))

    assert texts_of(list(decoded(lines_of(file)))) == [("Gr\ufffdn.", ("Green.",))] * 30


def test_broken_utf_16(tmp_path: Path) -> None:
    """Half of a character costs its own line."""
    text = "Go.\tGeh.\n@\tx\nRun.\tLauf.\n"
    file = write(tmp_path / "x.tsv", text.encode("utf-16").replace("@".encode("utf-16-le"), b"\x00\xd8"))

    first, second, third = lines_of(file)

    assert isinstance(second, Rejected)
    assert (second.reason, second.detail) == (Reason.BROKEN, "not UTF-8")
    assert texts_of([first, third]) == [("Go.", ("Geh.",)), ("Run.", ("Lauf.",))]


def test_blank_line_is_an_empty_pair(tmp_path: Path) -> None:
    """A blank line is not malformed: cleaning counts it as empty."""
    file = write(tmp_path / "x.tsv", b"\nGo.\tGeh.\n")

    assert texts_of(lines_of(file))[0] == ("", ("",))


@pytest.mark.parametrize("lengths", [(2, 5), (5, 2), (0, 3)])
def test_moses_lengths_differ(tmp_path: Path, lengths: tuple[int, int]) -> None:
    """The error says how long each file is."""
    source, target = (write(tmp_path / f"x.{i}", b"a\n" * length) for i, length in enumerate(lengths))

    with pytest.raises(DataError, match=rf"x\.0 has {lengths[0]} lines and .*x\.1 has {lengths[1]}; line n of one"):
        lines_of(f"{source},{target}")


def test_moses_order(tmp_path: Path) -> None:
    """Files that are named for the languages in the wrong order are refused."""
    source, target = write(tmp_path / "x.en", b"a\n"), write(tmp_path / "x.de", b"b\n")

    with pytest.raises(DataError, match=r"names de first, but en is the source; give the files as .*x\.en,.*x\.de"):
        lines_of(f"{target},{source}")


@pytest.mark.parametrize(("ending", "compress"), PACKINGS)
def test_truncated_file(tmp_path: Path, ending: str, compress: type[bytes]) -> None:
    """A file that was cut short ends the run, named."""
    content = "".join(f"{i * 7919 % 10007}\t{i}\n" for i in range(5000)).encode()
    file = write(tmp_path / f"x.tsv{ending}", compress(content)[:-200])

    with pytest.raises(DataError, match=rf"x\.tsv{ending} is cut short or damaged .*compress it again"):
        lines_of(file)


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_not_compressed_at_all(tmp_path: Path, ending: str) -> None:
    """A plain file with the name of a packed one is called damaged."""
    with pytest.raises(DataError, match=r"is cut short or damaged"):
        lines_of(write(tmp_path / f"x.tsv{ending}", b"Go.\tGeh.\n"))


def test_damaged_in_the_middle(tmp_path: Path) -> None:
    """Flipped bytes within a gzip file are an error as well."""
    packed = bytearray(gzip.compress(b"".join(b"%d\t%d\n" % (i * i, i) for i in range(5000))))
    packed[2000:2100] = bytes(100)

    with pytest.raises(DataError, match=r"is cut short or damaged"):
        lines_of(write(tmp_path / "x.tsv.gz", bytes(packed)))


def test_file_vanishes(tmp_path: Path) -> None:
    """A file that cannot be opened is named with the system's words."""
    (location,) = locate(write(tmp_path / "x.tsv", b""), EN_DE)
    (tmp_path / "x.tsv").unlink()

    with pytest.raises(DataError, match=r"x\.tsv cannot be read: No such file or directory"):
        list(read(location, EN_DE))


@pytest.mark.parametrize(
    ("name", "stated", "message"),
    [
        ("no.tsv", None, r"no\.tsv is not there; check the path"),
        (f"{'x' * 300}.tsv", None, r"xx\.tsv cannot be read: File name too long; check the path"),
        ("folder.tsv", None, r"folder\.tsv is a folder, not a file"),
        ("x.txt", None, r"the format of .*x\.txt cannot be told from its name; name it \.tsv, .*, give two"),
        ("x.txt,x.txt,x.txt", None, r"the format of .* cannot be told"),
        ("x.txt", "moses", r"x\.txt is one file, but the format moses takes two, as in x\.en,x\.de"),
    ],
)
def test_unlocatable(tmp_path: Path, name: str, stated: Format | None, message: str) -> None:
    """What cannot be found or understood says how to give it."""
    (tmp_path / "folder.tsv").mkdir()
    (tmp_path / "x.txt").touch()

    with pytest.raises(DataError, match=message):
        locate(",".join(str(tmp_path / part) for part in name.split(",")), EN_DE, stated)


@given(content=st.binary(max_size=300))
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No content of a plain file ends a run: each line is a pair or rejected, and they are numbered through."""
    assume(b"\n" in content or content.count(b"\r") < 2)
    assume(not content.startswith((b"PK", b"\x1f\x8b", b"\xfd7z", b"(\xb5")) and not encoding_of(content[:4]))
    folder = tmp_path_factory.mktemp("any")

    for name in ("x.tsv", "x.jsonl"):
        numbers = [line.line for line in lines_of(write(folder / name, content))]

        assert numbers == list(range(1, content.count(b"\n") + 1 + (not content.endswith(b"\n") and content != b"")))
