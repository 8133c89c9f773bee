"""The best extensions of a sentence's rows, without sorting all of them."""

import itertools

import torch
from torch import Tensor
from torch.nn import functional

from nmt import kernels


def best_extensions(log_probs: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V): their values and places (B, K), best first."""
    if kernels.available():
        return kernels.best_extensions(log_probs, totals)
    best, at = (totals.unsqueeze(-1) + log_probs).flatten(1).topk(totals.size(1))
    return best, at


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
