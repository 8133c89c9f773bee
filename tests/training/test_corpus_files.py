"""Packed files and archives: those of honest people, and the others."""

import gzip
import lzma
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from corpora import EN_DE, lines_of, little_memory, pairs, rejected
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from training.corpus.files import read_lines
from training.corpus.readers import locate, read

TMX = '<tmx><tu><tuv lang="en"><seg>Hi.</seg></tuv><tuv lang="de"><seg>Hallo.</seg></tuv></tu></tmx>'


def pack(path: Path, *members: tuple[str | zipfile.ZipInfo, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


def test_an_archive_gives_all_that_is_known(tmp_path: Path) -> None:
    """As OPUS packs it: a Moses pair beside a licence; other formats as well, each named in what is read."""
    members = [
        ("LICENSE", "…"),
        ("o/x.de-en.de", "Geh.\n"),
        ("o/x.de-en.en", "Go.\n"),
        ("o/m.tmx", TMX),
        ("t.tsv", "a\n"),
    ]

    locations = locate(str(pack(tmp_path / "x.zip", *members)), EN_DE)

    lines = [line for location in locations for line in read(location, EN_DE)]
    assert pairs(lines) == [("Hi.", "Hallo."), ("Go.", "Geh.")]
    assert [line.file for line in lines] == [
        f"{tmp_path}/x.zip/{name}" for name in ("o/m.tmx", "t.tsv", "o/x.de-en.en")
    ]


@pytest.mark.parametrize("target", ["pt", "pt-BR"])
def test_an_archive_for_a_region(tmp_path: Path, target: str) -> None:
    """OPUS names its files for it; one for the language itself goes before it."""
    regional = [(f"x.en-pt_br.{code}", f"{code}\n") for code in ("en", "pt_br")]

    (found,) = locate(str(pack(tmp_path / "x.zip", *regional)), ("en", target))
    assert [file.member for file in found.files] == ["x.en-pt_br.en", "x.en-pt_br.pt_br"]

    (found,) = locate(str(pack(tmp_path / "x.zip", ("x.en-pt_br.pt", "pt\n"), *regional)), ("en", target))
    assert found.files[1].member == ("x.en-pt_br.pt" if target == "pt" else "x.en-pt_br.pt_br")


def test_an_archive_from_a_mac(tmp_path: Path) -> None:
    """What it packs beside each file is no text."""
    own = "\0\5\x16\7\0\2\0\0Mac OS X"
    names = ["memory.tmx", "x.en", "x.de"]
    members = [(name, TMX) for name in names] + [(f"__MACOSX/._{name}", own) for name in names]

    locations = locate(str(pack(tmp_path / "x.zip", *members)), EN_DE)

    assert [str(location) for location in locations] == [
        f"{tmp_path}/x.zip/memory.tmx",
        f"{tmp_path}/x.zip/x.en,{tmp_path}/x.zip/x.de",
    ]


def test_an_archive_of_several_moses_pairs(tmp_path: Path) -> None:
    """Files belong together that are named alike; one without its other side is passed over."""
    names = ("a/train.en", "b/train.de", "a/train.de", "dev.de", "dev.en", "b/x.en")
    archive = pack(tmp_path / "x.zip", *((name, f"{name}\n") for name in names))

    lines = [line for location in locate(str(archive), EN_DE) for line in read(location, EN_DE)]

    assert pairs(lines) == [("a/train.en", "a/train.de"), ("dev.en", "dev.de")]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\r\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\n\n", ["a", ""]),
        ("a\u2028b\x0cc\x85d\n".encode(), ["a\u2028b\x0cc\x85d"]),
    ],
)
def test_lines_end_at_line_feeds_alone(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    """As in everything that is translated, so that parallel files stay parallel."""
    (tmp_path / "x").write_bytes(content)

    assert read_lines(tmp_path / "x", "the file") == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_small_files_are_read_as_corpora_are(tmp_path: Path, encoding: str) -> None:
    """A test set that a spreadsheet has saved, with a byte-order mark or without."""
    (tmp_path / "x").write_bytes("Go.\tGrüße\r\nä\n".encode(encoding))

    assert read_lines(tmp_path / "x", "the file") == ["Go.\tGrüße", "ä"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\xfc\n", "the test set {0} is not UTF-8: 'utf-8' codec can't decode byte 0xfc in position 2"),
        (b"a\tb\rc\td\r", "the test set {0} is a single line, since its lines end as on old Macs, in CR alone"),
        (gzip.compress(b"a", mtime=0), "the test set {0} is no text but packed, as .gz; name it x.tsv.gz"),
        (None, "the test set {0} cannot be read: No such file or directory"),
    ],
)
def test_small_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The message says what the file was to be, and what to do."""
    if content is not None:
        (tmp_path / "x.tsv").write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_lines(tmp_path / "x.tsv", "the test set")

    assert str(caught.value).startswith(message.format(tmp_path / "x.tsv"))


def test_a_sign_for_what_was_unreadable(tmp_path: Path) -> None:
    """It may stand in a test set, as any other."""
    (tmp_path / "x").write_text("a\ufffd\n")

    assert read_lines(tmp_path / "x", "the file") == ["a\ufffd"]


def test_a_stated_format_chooses_members(tmp_path: Path) -> None:
    """Others in the archive are passed over."""
    archive = pack(tmp_path / "x.zip", ("m.tmx", TMX), ("t.tsv", "a\tb\n"))

    assert [location.format for location in locate(str(archive), EN_DE, "tmx")] == ["tmx"]


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../../x.tsv", "a\tb"), "its member '../../x.tsv' has a path that leads out of the archive; pack it again"),
        (("/etc/x.tsv", "a\tb"), "has a path that leads out"),
        (("C:/x.tsv", "a\tb"), "has a path that leads out"),
        (("a\\..\\x.tsv", "a\tb"), "has a path that leads out"),
        (("a\x1b[31m.tsv", "a\tb"), "has a path that leads out"),
        (("exports\\memory.tsv", "a\tb"), "has a path with backslashes; pack it again with plain names"),
        ((link("x.tsv"), "/etc/passwd"), "is a link; pack the file itself"),
        (("inner.zip", "PK"), "is an archive inside the archive; unpack it first"),
        (("x.tsv.gz", gzip.compress(b"a\tb", mtime=0)), "is an archive inside the archive"),
        (("x.tsv", bytes(20_000_000)), "unpacks to more than 100 times its size, as no text does"),
    ],
)
def test_an_archive_that_no_honest_program_makes(
    tmp_path: Path, member: tuple[str | zipfile.ZipInfo, str | bytes], message: str
) -> None:
    """It is refused as a whole, before anything of it is read."""
    archive = pack(tmp_path / "x.zip", ("good.tsv", "Go.\tGeh.\n"), member)

    with pytest.raises(DataError, match=r"x\.zip is refused: its member ") as caught:
        locate(str(archive), EN_DE)

    assert message in str(caught.value)


def test_an_encrypted_archive(tmp_path: Path) -> None:
    """It cannot be read, and says so."""
    archive = pack(tmp_path / "x.zip", ("x.tsv", "Go.\tGeh.\n"))
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)

    with pytest.raises(DataError, match="is encrypted; pack it without a password"):
        locate(str(archive), EN_DE)


def test_an_archive_that_lies_about_its_size(tmp_path: Path) -> None:
    """What is declared small and unpacks to much is cut off at what was declared, and called damaged."""
    archive = pack(tmp_path / "x.zip", ("x.tsv", b"a\tb\n" * 5_000_000))
    content = archive.read_bytes()
    archive.write_bytes(content.replace((20_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))

    with pytest.raises(DataError, match=r"x\.zip/x\.tsv is cut short or damaged \(Bad CRC-32"):
        list(read(locate(str(archive), EN_DE)[0], EN_DE))


def test_a_method_that_is_not_known(tmp_path: Path) -> None:
    """How a member is packed shows when it is opened."""
    archive = pack(tmp_path / "x.zip", ("x.tsv", "Go.\tGeh.\n"))
    content = bytearray(archive.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 1
    archive.write_bytes(content)

    with pytest.raises(
        DataError, match=r"x\.tsv cannot be unpacked: That compression method .*; pack it again, with the"
    ):
        list(read(locate(str(archive), EN_DE)[0], EN_DE))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice(tmp_path: Path) -> None:
    """An archive that was added to holds the old version as well; the new one is read."""
    archive = pack(tmp_path / "x.zip", ("x.tsv", "Go.\tGeh.\n"), ("x.tsv", "Run.\tLauf.\n"))

    lines = [line for location in locate(str(archive), EN_DE) for line in read(location, EN_DE)]

    assert pairs(lines) == [("Run.", "Lauf.")]


def test_too_many_members(tmp_path: Path) -> None:
    """A thousand are enough."""
    archive = pack(tmp_path / "x.zip", *((f"{i}.tsv", "") for i in range(1001)))

    with pytest.raises(DataError, match=r"x\.zip has 1,001 members, more than 1,000; unpack it yourself"):
        locate(str(archive), EN_DE)


def test_nothing_known(tmp_path: Path) -> None:
    """What is in the archive is told."""
    archive = pack(tmp_path / "x.zip", ("readme.md", ""), ("x.fr", ""), ("x.en", ""))

    with pytest.raises(
        DataError, match=r"x\.zip holds readme\.md, x\.fr, x\.en, none of it of a known format; name it"
    ):
        locate(str(archive), EN_DE)
    with pytest.raises(DataError, match=r"x\.zip holds nothing, none of it tmx"):
        locate(str(pack(tmp_path / "x.zip")), EN_DE, "tmx")


BOMB = bytes(60_000_000)


@pytest.mark.parametrize(
    ("name", "compress"), [("x.tsv.gz", gzip.compress), ("x.tmx.xz", lzma.compress), ("x.po.zst", zstd.compress)]
)
def test_bombs(tmp_path: Path, name: str, compress: Callable[[bytes], bytes]) -> None:
    """A file that unpacks to too much is refused as soon as that shows, without holding it in memory."""
    packed = compress(BOMB)
    refused = pytest.raises(
        DataError, match=rf"{name} unpacks to more than 100 times its size, as no text does; if you trust"
    )

    with little_memory(len(BOMB) // 2), refused:
        lines_of(tmp_path / name, packed)


def test_small_files_may_pack_well(tmp_path: Path) -> None:
    """A file of one line, a thousand times, is no bomb."""
    assert len(lines_of(tmp_path / "x.tsv.gz", gzip.compress(b"Go.\tGeh.\n" * 20_000))) == 20_000


@pytest.mark.parametrize("name", ["x.zip", "x.tmx.gz", "x.tmx.xz", "x.tmx.zst"])
def test_not_what_the_name_says(tmp_path: Path, name: str) -> None:
    """A plain file with the name of a packed one is called damaged."""
    with pytest.raises(DataError, match=rf"{name} (is cut short or damaged|cannot be read as a zip archive)"):
        lines_of(tmp_path / name, TMX)


@pytest.mark.parametrize(
    ("compress", "ending"), [(gzip.compress, ".gz"), (lzma.compress, ".xz"), (zstd.compress, ".zst"), (None, ".zip")]
)
@pytest.mark.parametrize("name", ["x.tsv", "x.tmx"])
def test_packed_without_saying_so(
    tmp_path: Path, compress: Callable[[bytes], bytes] | None, ending: str, name: str
) -> None:
    """A packed file with the name of a plain one says what to call it."""
    packed = compress(TMX.encode()) if compress else pack(tmp_path / "own.zip", ("x.tmx", TMX)).read_bytes()

    with pytest.raises(DataError, match=rf"{name} is no text but packed, as {ending}; name it {name}{ending}"):
        lines_of(tmp_path / name, packed)


def test_packed_twice(tmp_path: Path) -> None:
    """No name says that."""
    with pytest.raises(DataError, match=r"x\.tsv\.gz is no text but packed, as \.gz; unpack it first"):
        lines_of(tmp_path / "x.tsv.gz", gzip.compress(gzip.compress(b"Go.\tGeh.\n", mtime=0)))


def test_overlong_lines(tmp_path: Path) -> None:
    """They are rejected without being held whole, and those around them are read."""
    lines = lines_of(tmp_path / "x.tsv", "Go.\tGeh.\n" + "x" * 2_500_000 + "\nRun.\tLauf.\n" + "y" * 1_000_000)

    assert pairs(lines) == [("Go.", "Geh."), ("Run.", "Lauf.")]
    assert rejected(lines) == [
        (2, "too long", "more than 1,000,000 bytes"),
        (4, "too long", "more than 1,000,000 bytes"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_lines_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """Spreadsheets save Unicode text as UTF-16, some without a mark."""
    lines = lines_of(tmp_path / "x.tsv", "Grüße\tGreetings\r\nGo.\tGeh.\r\n".encode(encoding))

    assert pairs(lines) == [("Grüße", "Greetings"), ("Go.", "Geh.")]


@given(content=st.binary(max_size=300), at=st.integers(0, 400), name=st.sampled_from(["gz", "xz", "zst", "zip"]))
def test_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, name: str) -> None:
    """Whatever bytes stand in a packed file, it is read or refused."""
    folder = tmp_path_factory.getbasetemp()
    pack(folder / "whole.zip", ("x.tmx", TMX), ("x.tsv", TMX))
    packed = {
        "gz": gzip.compress(TMX.encode()),
        "xz": lzma.compress(TMX.encode()),
        "zst": zstd.compress(TMX.encode()),
        "zip": (folder / "whole.zip").read_bytes(),
    }[name]
    at %= len(packed)
    path = folder / ("fuzz.zip" if name == "zip" else f"fuzz.tsv.{name}")

    for damaged in (content, packed[:at] + content + packed[at + len(content) :]):
        try:
            lines_of(path, damaged)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
