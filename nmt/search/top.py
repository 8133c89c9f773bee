"""The best extensions of a sentence's rows, without sorting all of them."""

import itertools

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 64
_FEW = 16384


def best_extensions(log_probs: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V): their values and places (B, K), best first.

    The K best stand in at most K blocks, which are among the K with the largest maxima. So one pass for the maxima and
    two small sorts do, where a sort of everything would cost as much as the decode step itself.
    """
    rows, vocabulary = log_probs.shape[1:]
    if rows * vocabulary <= _FEW:
        best, at = (totals.unsqueeze(-1) + log_probs).flatten(1).topk(rows)
        return best, at
    maxima = totals.unsqueeze(-1) + _block_maxima(log_probs)
    blocks = maxima.flatten(1).topk(rows, sorted=False).indices
    row, first = blocks // maxima.size(2), blocks % maxima.size(2) * _BLOCK
    pieces = first.unsqueeze(-1) + torch.arange(_BLOCK)
    at = row.unsqueeze(-1) * vocabulary + pieces.clamp(max=vocabulary - 1)
    sums = log_probs.flatten(1).gather(1, at.flatten(1)).view(at.shape) + totals.gather(1, row).unsqueeze(-1)
    best, place = sums.masked_fill_(pieces >= vocabulary, float("-inf")).flatten(1).topk(rows)
    return best, at.flatten(1).gather(1, place)


def allocate(log_probs: Tensor, totals: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """As `best_extensions` of one sentence, totals (K,), log_probs (K, V), but the banks (K, V) take turns: the best
    extension of each, then the second best of each, and so on.

    Dynamic beam allocation (Post & Vilar 2018). The nearest bank has the first turn, so that what is wanted gets done;
    the farthest has the second, so that it can still begin where it fits better; then the others, the nearer first.
    """
    rows, sums, bank = len(totals), (totals.unsqueeze(-1) + log_probs).flatten(), bank.flatten()
    possible = sums > float("-inf")
    ranked = []
    for number in torch.bincount(bank).nonzero().squeeze(1).tolist():
        own = ((bank == number) & possible).nonzero().squeeze(1)
        best = sums.index_select(0, own).topk(min(rows, len(own))).indices
        ranked += [own[best].tolist()] if len(own) else []
    turns = itertools.zip_longest(*ranked[:1], *ranked[:0:-1][:1], *ranked[1:-1])
    chosen = [place for turn in turns for place in turn if place is not None][:rows]
    beyond = rows - len(chosen)
    return functional.pad(sums[chosen], (0, beyond), value=float("-inf")), torch.tensor(chosen + [0] * beyond)


def _block_maxima(log_probs: Tensor) -> Tensor:
    """(B, K, V) → (B, K, ⌈V / block⌉)."""
    whole = log_probs.size(2) // _BLOCK * _BLOCK
    maxima = log_probs[..., :whole].view(*log_probs.shape[:2], -1, _BLOCK).amax(dim=-1)
    rest = log_probs[..., whole:]
    return torch.cat([maxima, rest.amax(dim=-1, keepdim=True)], dim=-1) if rest.size(2) else maxima
