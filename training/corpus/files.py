"""Open what text comes in: plain, gzip, xz or zstd files and the members of zip archives, none of them trusted.

Everything is streamed: nothing is unpacked to the disk, and no file is held in memory. So what a packed file may hold
is limited by its ratio alone: a bomb is refused as soon as it shows.
"""

import codecs
import gzip
import io
import lzma
import re
import stat
import sys
import zipfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from nmt.errors import DataError, how_to_convert
from training.corpus.records import Reason

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LONGEST = 1_000_000
"""Bytes of a line, and characters of a record of markup, that are read; what is longer is no sentence."""

LOST = "\udcff"
"""Stands for what could not be decoded, in the place of U+FFFD, which may be a sign of the text itself."""

_MOST_MEMBERS = 1000
_MOST_EXPANDED = 100  # times the packed size; text in TMX, which repeats itself most, packs to a thirtieth
_ALWAYS_ALLOWED = 10_000_000  # bytes; what is small does no harm, whatever its ratio
_PART = 1 << 16  # characters
_DECLARATION = 256  # bytes in which an XML declaration stands
_COMPRESSIONS = (".gz", ".xz", ".zst")
_ARCHIVES = frozenset({*_COMPRESSIONS, ".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2"})
_PACKED = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"(\xb5/\xfd": ".zst", b"PK\x03\x04": ".zip"}
_UTF_16 = {"utf-16-le": re.compile(rb"(?:[^\0]\0){2}"), "utf-16-be": re.compile(rb"(?:\0[^\0]){2}")}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, gzip.BadGzipFile, zipfile.BadZipFile)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a small file in UTF-8 or UTF-16, which end as everywhere here at a line feed alone.

    Raises `DataError`, with `what` it should have been, if it cannot be read.
    """
    try:
        with TextFile(path).open() as file:
            content = file.read()
        text = content.decode(encoding_of(content[:4]) or "utf-8")
        _check_ends(text.encode(), path)
    except DataError as error:
        raise DataError(f"{what} {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{what} {path} is not UTF-8: {error}; {how_to_convert(path)}") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def is_file(path: Path) -> bool:
    """Whether there is one that can be seen."""
    with suppress(OSError):  # the name is too long, such as two of a Moses pair taken for one, or the folder closed
        return path.is_file()
    return False


def check_file(path: Path) -> None:
    """Raise a `DataError` that says why there is none."""
    if is_file(path):
        return
    try:
        what = "is a folder, not a file" if path.is_dir() else "is not there"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    raise DataError(f"{path} {what}; check the path")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file, or the `member` of a zip archive."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def bare(self) -> PurePosixPath:
        """The name without the ending of its compression."""
        name = PurePosixPath(self.member or self.path.name)
        return name.with_suffix("") if name.suffix.lower() in _COMPRESSIONS else name

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """The unpacked bytes. Raises `DataError` if they are damaged, cannot be read, still packed or a bomb."""
        try:
            with self.path.open("rb") as packed, self._unpacked(packed) as file:
                self._check(file.peek(6)[:6])
                yield file
        except _DAMAGED as error:
            raise DataError(f"{self} is cut short or damaged ({error}); fetch it or compress it again") from error
        except OSError as error:
            raise DataError(f"{self} cannot be read: {error.strerror or error}") from error

    def _check(self, start: bytes) -> None:
        """Whether what is to be text is none, because the name does not say that it is packed."""
        for sign, ending in _PACKED.items():
            if start.startswith(sign):
                named = self.path.suffix.lower() == ending
                advice = "unpack it first" if named else f"name it {self.bare.name}{ending}"
                raise DataError(f"{self} is no text but packed, as {ending}; {advice}")

    @contextmanager
    def _unpacked(self, packed: io.BufferedReader) -> Iterator[io.BufferedReader]:
        if self.member:
            with zipfile.ZipFile(packed) as archive, self._opened(archive) as file:
                size = archive.getinfo(self.member).compress_size
                yield io.BufferedReader(_Limited(file, lambda: size, self))
            return
        readers = {".gz": gzip.open, ".xz": lzma.open, ".zst": zstd.open}
        reader = cast(Callable[[IO[bytes]], IO[bytes]] | None, readers.get(self.path.suffix.lower()))
        if reader is None:
            yield packed
            return
        with reader(packed) as file:
            yield io.BufferedReader(_Limited(file, packed.tell, self))

    def _opened(self, archive: zipfile.ZipFile) -> IO[bytes]:
        try:
            return archive.open(self.member)
        except (NotImplementedError, RuntimeError, KeyError, ValueError) as error:
            raise DataError(f"{self} cannot be unpacked: {error}; pack it again, with the usual method") from error


class _Limited(io.RawIOBase):
    """The bytes of `file`, as long as they are not too many for the packed ones that they were unpacked from."""

    def __init__(self, file: IO[bytes], packed_size: Callable[[], int], name: object) -> None:
        super().__init__()
        self._file, self._packed_size, self._name = file, packed_size, name
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._size += len(content)
        if self._size > max(_ALWAYS_ALLOWED, _MOST_EXPANDED * self._packed_size()):
            raise DataError(
                f"{self._name} unpacks to more than {_MOST_EXPANDED} times its size, as no text does; "
                "if you trust it, unpack it and give the plain file"
            )
        return len(content)


def members(path: Path) -> list[TextFile]:
    """The files in a zip archive. Raises `DataError` for one that no honest program makes for text."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (*_DAMAGED, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be read as a zip archive: {error}; fetch it or pack it again") from error
    if len(entries) > _MOST_MEMBERS:
        raise DataError(f"{path} has {len(entries):,} members, more than {_MOST_MEMBERS:,}; unpack it yourself")
    for entry in entries:
        if fault := _fault(entry):
            raise DataError(f"{path} is refused: its member {entry.filename[:80]!r} {fault}")
    return [TextFile(path, name) for name in dict.fromkeys(entry.filename for entry in entries)]


def _fault(entry: zipfile.ZipInfo) -> str:
    """Why no archive with this member is read, or nothing."""
    name = entry.filename
    if re.match(r"[/\\]|[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name) or not name.isprintable():
        return "has a path that leads out of the archive; pack it again with plain names"
    if "\\" in name:
        return "has a path with backslashes; pack it again with plain names"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link; pack the file itself"
    if entry.flag_bits & 1:
        return "is encrypted; pack it without a password"
    if PurePosixPath(name).suffix.lower() in _ARCHIVES:
        return "is an archive inside the archive; unpack it first"
    if entry.file_size > max(_ALWAYS_ALLOWED, _MOST_EXPANDED * entry.compress_size):
        return f"unpacks to more than {_MOST_EXPANDED} times its size, as no text does"
    return ""


class TextLine(NamedTuple):
    """A line without its end; with a `reason` where its text is not all that stands in the file."""

    number: int
    text: str
    reason: Reason | None = None
    detail: str = ""


def lines(file: TextFile) -> Iterator[TextLine]:
    """The lines of UTF-8 or UTF-16; only `\\n` and `\\r\\n` end a line.

    Each line is decoded on its own; overlong ones are cut. Raises `DataError` for a file with `\\r` alone.
    """
    with file.open() as content:
        yield from _numbered(reader_of_lines(content), file)


def reader_of_lines(content: io.BufferedReader) -> Callable[[int], bytes]:
    """A `readline` of UTF-8, to which UTF-16 is turned; what cannot be decoded of either is no UTF-8."""
    encoding = encoding_of(content.peek(4)[:4])
    if not encoding.startswith("utf-16"):
        return content.readline
    text = _decoded(content, encoding, newline="\n")
    return lambda size: text.readline(size).encode("utf-8", "surrogateescape")


def _decoded(content: io.BufferedReader, encoding: str, newline: str) -> io.TextIOWrapper:
    codecs.register_error("lost", _lost)
    return io.TextIOWrapper(content, encoding, errors="lost", newline=newline)


def _lost(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return LOST, error.end


def encoding_of(start: bytes) -> str:
    """The encoding that a byte-order mark names, or UTF-16 if every second of four bytes is zero, or nothing."""
    if start.startswith(BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    return next((encoding for encoding, zeros in _UTF_16.items() if zeros.match(start)), "")


def _check_ends(start: bytes, file: object) -> None:
    """Refuse what is one line although it has ends of lines: `start` is the first, or all."""
    if b"\n" not in start and start.count(b"\r") > 1:
        raise DataError(
            f"{file} is a single line, since its lines end as on old Macs, in CR alone; convert it: "
            f"tr '\\r' '\\n' < {file} > converted"
        )


def _numbered(readline: Callable[[int], bytes], file: TextFile) -> Iterator[TextLine]:
    number = 0
    while raw := readline(LONGEST):
        number += 1
        if number == 1:
            _check_ends(raw, file)
        text = raw.decode("utf-8", "replace")
        broken = "\ufffd" in text and text.encode() != raw  # it may stand there itself
        long = len(raw) >= LONGEST and raw[-1:] != b"\n"
        while long and (rest := readline(LONGEST)) and rest[-1:] != b"\n":
            pass
        text = text.removesuffix("\n").removesuffix("\r")
        if number == 1:
            text = text.removeprefix("\ufeff")
        if long:
            yield TextLine(number, text, Reason.TOO_LONG, f"more than {LONGEST:,} bytes")
        elif broken:
            yield TextLine(number, text, Reason.BROKEN, "not UTF-8")
        else:
            yield TextLine(number, text)


def characters(file: TextFile) -> Iterator[str]:
    """The text of an XML file in parts of bounded size; mark or declaration say the encoding, else it is UTF-8.

    What cannot be decoded becomes `LOST`. Raises `DataError` for an encoding that Python does not know.
    """
    with file.open() as content:
        encoding = _xml_encoding(content.peek(_DECLARATION)[:_DECLARATION])
        try:
            text = _decoded(content, encoding, newline="")
            while part := text.read(_PART):
                yield part
        except (LookupError, UnicodeError) as error:
            raise DataError(
                f"{file} says that its encoding is {encoding!r}, which cannot be read ({error}); save it as UTF-8"
            ) from error


def _xml_encoding(start: bytes) -> str:
    """As XML 1.0, appendix F, has it."""
    if encoding := encoding_of(start):
        return encoding
    declared = re.match(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w.-]+)["']""", start)
    name = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    # The declaration was read byte by byte, so what it says of two bytes a character is left from a conversion.
    return "utf-8" if name.startswith(("utf-16", "utf16", "ucs-2", "unicode")) else name
