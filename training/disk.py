"""Files that are there as a whole or not at all, errors of the disk that say what to do, and names by content."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from nmt.disk import flush
from nmt.errors import DataError, SaveError, TrainingError

_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "make the folder writable for you",
    errno.EPERM: "make the folder writable for you",
}
_OTHER_PLACES = {
    errno.EROFS: "choose a place that can be written, where it begins anew, or make this one so",
    errno.EEXIST: "choose an --output that is a folder, or is not there yet",
    errno.ENOTDIR: "choose an --output that is in folders",
}


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write in the place of `path`: beside it, flushed to the disk, renamed, and the rename flushed as well.

    Whatever goes wrong before leaves what was there.
    """
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()  # on a full disk, half a file is in the way of everything else
        raise
    flush(path.parent)


@contextmanager
def writes_explained(place: Path, *, goes_on: bool = False) -> Iterator[None]:
    """Turn what the system says when a write to `place` fails into a `SaveError` that says what to do.

    `goes_on`: the same command makes use of what it had saved before.
    """
    try:
        yield
    except OSError as error:
        advice = _OTHER_PLACES.get(error.errno or 0)
        if advice is None:
            advice = f"{_MENDS.get(error.errno or 0, 'check the disk')}, then give the same command again"
            advice += ": it goes on from what was saved, if anything was" if goes_on else ""
        raise SaveError(
            f"{error.filename or place} could not be written: {error.strerror or error}; {advice}"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to one process at a time; the lock ends with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        reserve(file, f"another process works in {folder}; wait for it, or choose another --output")
        yield


def reserve(file: IO[Any], otherwise: str) -> None:
    """Keep an open file to this process while it is open; raises `TrainingError` if another one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TrainingError(otherwise) from error


def key_of(paths: Iterable[Path], *settings: object) -> str:
    """A name for what is made from these files and settings: another content, another name.

    Raises `DataError` if a file cannot be read.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:32]
