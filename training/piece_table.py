"""Sentences as pieces, end to end in one array: in memory, or in files that the system reads when they are needed."""

import mmap
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Self
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from nmt.disk import flush
from nmt.text.tokenizer import PAD

Sentences = tuple[Sequence[int], ...]
"""What belongs to one pair: source and target as pieces, and whatever else is to be stored for it."""

_PIECE, _START = np.dtype("<u2"), np.dtype("<i8")  # a vocabulary has at most 64,000 pieces
_NAMES = ("source", "target", "links")
_CHUNK = 8192
_ABANDONED_SECONDS = 24 * 3600


class PieceTable:
    """Sentence `i` is `pieces[starts[i]:starts[i + 1]]`: two bytes a piece, eight a sentence."""

    def __init__(self, pieces: np.ndarray, starts: np.ndarray, files: Sequence[mmap.mmap] = ()) -> None:
        self._pieces, self._starts, self._files = pieces, starts, files

    @classmethod
    def of(cls, sentences: Iterable[Sequence[int]]) -> Self:
        """A table in memory."""
        rows = [np.asarray(sentence, dtype=_PIECE) for sentence in sentences]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=_START)])
        return cls(np.concatenate([np.empty(0, _PIECE), *rows]), starts)

    @classmethod
    def open(cls, folder: Path, name: str) -> Self:
        """A table on disk; what is read stays in memory only as long as there is room, or until `release`."""
        files = [_mapped(folder / f"{name}.{part}") for part in ("pieces", "starts")]
        return cls(np.frombuffer(files[0], _PIECE), np.frombuffer(files[1], _START), files)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def lengths(self, rows: np.ndarray | slice) -> np.ndarray:
        """Pieces of each of these sentences."""
        if isinstance(rows, slice):
            return np.diff(self._starts[rows.start : rows.stop + 1])
        lengths: np.ndarray = self._starts[rows + 1] - self._starts[rows]
        return lengths

    def padded(self, rows: np.ndarray, begin: int | None = None) -> Tensor:
        """The sentences of `rows` as one tensor, padded at the end, each after the piece `begin` if one is given."""
        lengths = self.lengths(rows)
        shift = 0 if begin is None else 1
        table = np.full((len(rows), int(lengths.max()) + shift), PAD, dtype=np.int64)
        if begin is not None:
            table[:, 0] = begin
        offsets = np.arange(table.shape[1] - shift)
        real = offsets < lengths[:, None]
        table[:, shift:][real] = self._pieces[(self._starts[rows][:, None] + offsets)[real]]
        return torch.from_numpy(table)

    def release(self) -> None:
        """Let go of what was read from files: it is no longer counted as this process's memory."""
        for file in self._files:
            file.madvise(mmap.MADV_DONTNEED)


def stored_tables(folder: Path, key: str, rows: Iterable[Sentences], count: int = 2) -> list[PieceTable]:
    """The `count` tables of `rows`, in files under `folder`; made now if it has none under this `key`, their name.

    The files appear as a whole or not at all, and take the place of those of other keys. Whoever reads those goes on,
    as what is mapped outlives its name, and whoever writes at the same time is left in peace.
    """
    wanted, names = folder / key, _NAMES[:count]
    with suppress(FileNotFoundError):  # there is none, or another run is clearing it away
        return _open(wanted, names)
    partial = folder / f".{key}.{uuid4().hex}.partial"
    try:
        _write(partial, rows, names)
        tables = _open(partial, names)  # before another run can clear it away
        _move(partial, wanted, names)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    flush(folder)
    for other in folder.iterdir():
        if other != wanted and (other.suffix != ".partial" or _is_abandoned(other)):
            shutil.rmtree(other, ignore_errors=True)
    return tables


def _open(folder: Path, names: Sequence[str]) -> list[PieceTable]:
    return [PieceTable.open(folder, name) for name in names]


def _is_abandoned(partial: Path) -> bool:
    """Whether nothing was written there for a day; a process that was killed could not clear it away."""
    try:
        written = max(path.stat().st_mtime for path in (partial, *partial.iterdir()))
    except FileNotFoundError:  # its writer has just finished with it
        return False
    return time.time() - written > _ABANDONED_SECONDS


def _move(partial: Path, wanted: Path, names: Sequence[str]) -> None:
    try:
        partial.rename(wanted)
    except OSError:
        if not wanted.exists():
            raise
        try:
            _open(wanted, names)  # another run made the same meanwhile
        except FileNotFoundError:  # or one was killed while it cleared this away
            shutil.rmtree(wanted, ignore_errors=True)
            partial.rename(wanted)


def _write(folder: Path, rows: Iterable[Sentences], names: Sequence[str]) -> None:
    """A chunk at a time, so that the size of the corpus does not matter."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        files = {
            (name, part): stack.enter_context((folder / f"{name}.{part}").open("wb"))
            for name in names
            for part in ("pieces", "starts")
        }
        ends = dict.fromkeys(names, 0)
        for name in names:
            files[name, "starts"].write(bytes(_START.itemsize))
        for chunk in _chunks(rows):
            for name, sentences in zip(names, zip(*chunk, strict=True), strict=True):
                table = PieceTable.of(sentences)
                files[name, "pieces"].write(table._pieces.tobytes())
                files[name, "starts"].write((table._starts[1:] + ends[name]).astype(_START).tobytes())
                ends[name] += int(table._starts[-1])
        for name in names:
            files[name, "pieces"].write(bytes(_PIECE.itemsize))  # a file of no bytes could not be mapped
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())


def _chunks(rows: Iterable[Sentences]) -> Iterator[list[Sentences]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
