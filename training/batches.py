"""Batches of sentences of like length, in an order that seed and epoch decide.

The memory that this takes does not grow with the corpus: an epoch is cut into blocks of neighbours, and blocks that
chance has drawn make a pool, which is shuffled, sorted by length and cut into batches as a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nmt.text.tokenizer import BEGIN, PAD
from training.piece_table import PieceTable

_BLOCK = 1024  # neighbours in a corpus are alike; there are hundreds of blocks in a pool, and few of one in a batch
_POOL = 256 * _BLOCK


@dataclass(frozen=True, slots=True)
class Batch:
    """source (B, S) and its lengths (B,) · target_in (B, T), begun with the start piece · target_out (B, T).

    links (B, T, S), if the training set brings some: what each row of attention should be, or nothing but zeros.
    """

    source: Tensor
    lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    links: Tensor | None = None

    @property
    def target_pieces(self) -> int:
        """Target pieces, padding not counted."""
        return int((self.target_out != PAD).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with each of its tensors changed."""
        links = None if self.links is None else change(self.links)
        return Batch(change(self.source), change(self.lengths), change(self.target_in), change(self.target_out), links)


class Batches:
    """All batches of a training set. `epoch(seed, number)` is the same whenever it is asked for."""

    def __init__(
        self,
        sources: PieceTable | Iterable[Sequence[int]],
        targets: PieceTable | Iterable[Sequence[int]],
        batch_pieces: int,
        max_pieces: int,
        links: PieceTable | None = None,
    ) -> None:
        """`links`: target and source piece of each link in turn, in a list a pair."""
        self._sources, self._targets = _as_table(sources), _as_table(targets)
        self._links = links
        self._batch_pieces, self._max_pieces = batch_pieces, max_pieces
        self._kept = sum(len(rows) for rows in self._pools(np.arange(self._blocks)))
        self.left_out = len(self._sources) - self._kept

    def __len__(self) -> int:
        return self._kept

    @property
    def _blocks(self) -> int:
        return -(-len(self._sources) // _BLOCK)

    def epoch(self, seed: int, number: int) -> Iterator[np.ndarray]:
        """Rows of each batch, a pool after the other."""
        random = np.random.default_rng((seed, number))
        for rows in self._pools(random.permutation(self._blocks)):
            batches = list(self._cut(self._by_length(random.permutation(rows))))
            yield from (batches[i] for i in random.permutation(len(batches)))
            del batches  # before the next pool is made

    def _pools(self, blocks: np.ndarray) -> Iterator[np.ndarray]:
        """The rows that are short enough, some blocks at a time; what was read of them is let go of after use."""
        for first in range(0, len(blocks), _POOL // _BLOCK):
            yield np.concatenate([self._fitting(block) for block in blocks[first : first + _POOL // _BLOCK]])
            self._sources.release()
            self._targets.release()
            if self._links:
                self._links.release()

    def _fitting(self, block: int) -> np.ndarray:
        """The rows of a block whose sides are short enough."""
        start = int(block) * _BLOCK
        span = slice(start, min(start + _BLOCK, len(self._sources)))
        longest = np.maximum(self._sources.lengths(span), self._targets.lengths(span))
        return start + np.flatnonzero(longest <= self._max_pieces)

    def _by_length(self, rows: np.ndarray) -> np.ndarray:
        """Sorted by target length, then by source length, up and down in turn, so that neighbours are always alike."""
        source, target = self._sources.lengths(rows), self._targets.lengths(rows)
        return rows[np.lexsort((np.where(target % 2, source, -source), target))]

    def _cut(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Runs of rows whose longer side, padded to the longest of them, fits into the budget."""
        sizes = np.maximum(self._sources.lengths(rows), self._targets.lengths(rows))
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
        source, lengths = self._sources.padded(rows), torch.from_numpy(self._sources.lengths(rows))
        links = _shares(self._links, rows, (*target_out.shape, source.size(1))) if self._links else None
        return Batch(source, lengths, target_in, target_out, links)


def batch_of(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
    """Pairs of sentences, each ending with the end of sentence, as tensors; a target is read one piece late."""
    begun = [[BEGIN, *own[:-1]] for own in targets]
    lengths = torch.tensor([len(own) for own in sources])
    return Batch(_padded(sources), lengths, _padded(begun), _padded(targets))


def _padded(sentences: Sequence[Sequence[int]]) -> Tensor:
    return pad_sequence([torch.tensor(own) for own in sentences], batch_first=True, padding_value=PAD)


def _shares(links: PieceTable, rows: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """The links of some pairs as weights (B, T, S): a target piece shares itself out among what it is linked to."""
    flat, count = links.padded(rows), torch.from_numpy(links.lengths(rows) // 2)
    table = flat.view(len(rows), flat.size(1) // 2, 2)
    pair, number = (torch.arange(table.size(1)) < count.unsqueeze(1)).nonzero(as_tuple=True)
    weights = torch.zeros(shape)
    weights[pair, table[pair, number, 0], table[pair, number, 1]] = 1.0
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(1.0)


def _as_table(sentences: PieceTable | Iterable[Sequence[int]]) -> PieceTable:
    return sentences if isinstance(sentences, PieceTable) else PieceTable.of(sentences)
