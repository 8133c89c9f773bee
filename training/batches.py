"""Batches of sentences of like length, in an order that seed and epoch decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.text.tokenizer import BEGIN, PAD


@dataclass(frozen=True, slots=True)
class Batch:
    """source (B, S) and its lengths (B,) · target_in (B, T), begun with the start piece · target_out (B, T)."""

    source: Tensor
    lengths: Tensor
    target_in: Tensor
    target_out: Tensor

    @property
    def target_pieces(self) -> int:
        """Target pieces, padding not counted."""
        return int((self.target_out != PAD).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


class PieceTable:
    """Sentences as pieces, end to end in one array: four bytes a piece, no Python object a sentence."""

    def __init__(self, sentences: Sequence[Sequence[int]]) -> None:
        self.lengths = np.fromiter((len(s) for s in sentences), dtype=np.int32, count=len(sentences))
        self._starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        self._pieces = np.fromiter((p for s in sentences for p in s), dtype=np.int32, count=int(self._starts[-1]))

    def padded(self, rows: np.ndarray, begin: int | None = None) -> Tensor:
        """The sentences of `rows` as one tensor, padded at the end, each after the piece `begin` if one is given."""
        lengths = self.lengths[rows]
        shift = 0 if begin is None else 1
        table = np.full((len(rows), int(lengths.max()) + shift), PAD, dtype=np.int64)
        if begin is not None:
            table[:, 0] = begin
        for row, (start, length) in enumerate(zip(self._starts[rows], lengths, strict=True)):
            table[row, shift : shift + length] = self._pieces[start : start + length]
        return torch.from_numpy(table)


class Batches:
    """All batches of a training set. `epoch(seed, number)` is the same list whenever it is asked for."""

    def __init__(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], batch_pieces: int, max_pieces: int
    ) -> None:
        self._sources, self._targets = PieceTable(sources), PieceTable(targets)
        longest = np.maximum(self._sources.lengths, self._targets.lengths)
        self._kept = np.flatnonzero(longest <= max_pieces)
        self.left_out = len(longest) - len(self._kept)
        self._batch_pieces = batch_pieces

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def target_pieces(self) -> int:
        """Target pieces of an epoch."""
        return int(self._targets.lengths[self._kept].sum())

    def epoch(self, seed: int, number: int) -> list[np.ndarray]:
        """Rows of each batch. Sorted by length, ties at random, cut by the piece budget, then shuffled as batches."""
        random = np.random.default_rng((seed, number))
        rows = random.permutation(self._kept)
        source, target = self._sources.lengths[rows], self._targets.lengths[rows]
        rows = rows[np.lexsort((source, target))]
        batches = list(self._cut(rows))
        random.shuffle(batches)
        return batches

    def _cut(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Runs of rows whose longer side, padded to the longest of them, fits into the budget."""
        sizes = np.maximum(self._sources.lengths[rows], self._targets.lengths[rows])
        start, longest = 0, 0
        for end, size in enumerate(sizes.tolist()):
            longest = max(longest, size)
            if end > start and longest * (end + 1 - start) > self._batch_pieces:
                yield rows[start:end]
                start, longest = end, size
        if start < len(rows):
            yield rows[start:]

    def batch(self, rows: np.ndarray) -> Batch:
        """The tensors of one batch."""
        target_out = self._targets.padded(rows)
        target_in = self._targets.padded(rows, begin=BEGIN)[:, :-1]
        return Batch(
            self._sources.padded(rows), torch.from_numpy(self._sources.lengths[rows]).long(), target_in, target_out
        )
