"""The best extensions of a sentence's rows, without sorting all of them."""

import itertools

import numpy as np

from nmt import kernels
from nmt.arrays import Floats, Integers


def best_extensions(log_probs: Floats, totals: Floats) -> tuple[Floats, Integers]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V): their values and places (B, K), best first."""
    if kernels.available():
        return kernels.best_extensions(log_probs, totals)
    return largest((totals[..., None] + log_probs).reshape(len(totals), -1), totals.shape[1])


def largest(values: Floats, count: int) -> tuple[Floats, Integers]:
    """The `count` largest of values (..., N), best first, and where they are."""
    if not count:
        return values[..., :0], np.empty((*values.shape[:-1], 0), np.int64)
    at = np.argpartition(-values, min(count, values.shape[-1]) - 1, axis=-1)[..., :count]
    found = np.take_along_axis(values, at, -1)
    order = np.argsort(-found, axis=-1, kind="stable")
    return np.take_along_axis(found, order, -1), np.take_along_axis(at, order, -1)


def allocate(log_probs: Floats, totals: Floats, bank: Integers) -> tuple[Floats, Integers]:
    """As `best_extensions` of one sentence, totals (K,), log_probs (K, V), but the banks (K, V) take turns: the best
    extension of each, then the second best of each, and so on.

    Dynamic beam allocation (Post & Vilar 2018). The nearest bank has the first turn, so that what is wanted gets done;
    the farthest has the second, so that it can still begin where it fits better; then the others, the nearer first.
    """
    rows, live = len(totals), totals > -np.inf
    counts = np.bincount(bank[live][log_probs[live] > -np.inf])  # np.unique takes ten times as long
    ranked = []
    for number in np.flatnonzero(counts):
        own = log_probs.copy()
        np.copyto(own, -np.inf, where=bank != number)
        values, places = best_extensions(own[None], totals[None])
        ranked.append([pair for pair in zip(places[0].tolist(), values[0].tolist(), strict=True) if pair[1] > -np.inf])
    turns = itertools.zip_longest(*ranked[:1], *ranked[:0:-1][:1], *ranked[1:-1])
    chosen = [pair for turn in turns for pair in turn if pair is not None][:rows]
    best, at = np.full(rows, -np.inf, np.float32), np.zeros(rows, np.int64)
    for row, (place, value) in enumerate(chosen):
        best[row], at[row] = value, place
    return best, at
