"""Folders that are there as a whole or not at all, whatever happens while they are written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are still there when the power fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder as a whole: filled beside, flushed to the disk, and renamed.

    No rename takes the place of a folder that has files in it, and Python knows no exchange of two. So the old one
    steps aside, the new one comes, and only then the old one goes: a kill between leaves it where `whole_folder` finds
    it and where the next call puts it back. An error leaves the old one in its place.
    """
    path = path.resolve()  # the folder and not a link to it
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    _put_back(path)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        fill(beside)
        for own in (*beside.rglob("*"), beside):
            flush(own)
        if path.is_dir():
            path.rename(_aside(path))
        beside.rename(path)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)  # on a full disk, half a folder is in the way of everything else
        _put_back(path)
        raise
    flush(path.parent)
    shutil.rmtree(_aside(path), ignore_errors=True)


def whole_folder(path: Path) -> Path:
    """Where a folder is that `replace_folder` writes: aside if a kill came just before the new one."""
    return path if path.exists() or not _aside(path).is_dir() else _aside(path)


def _put_back(path: Path) -> None:
    """Set right what a kill or an error left between the two renames, or before the old folder was deleted."""
    if path.exists():
        shutil.rmtree(_aside(path), ignore_errors=True)
    elif _aside(path).exists():
        _aside(path).rename(path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.before")
