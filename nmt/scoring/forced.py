"""What a model thinks of a translation that it did not choose itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmt.arrays import Floats
from nmt.search.control import Control, batch_control
from nmt.search.stepper import Stepper
from nmt.search.top import largest
from nmt.text.tokenizer import BEGIN

_BATCH = 64
_MOST_PIECES = 16384  # of the sources of a batch, with padding


@dataclass(frozen=True, slots=True)
class ForcedScore:
    """log_probs (T,) of the given pieces · weights (T, S) · top: the likeliest pieces at each place, (id, log_prob)."""

    log_probs: Floats
    weights: Floats
    top: list[list[tuple[int, float]]]


def score_forced(
    stepper: Stepper[Any],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    alternatives: int = 0,
    controls: Sequence[Sequence[Control]] = (),
) -> list[ForcedScore]:
    """Lead the stepper through each target, which ends with the end of sentence; controls: of each one's attention.

    The numbers are those of the search: what it found scores here what it scored there.
    """
    steered, results = controls or [()] * len(sources), dict[int, ForcedScore]()
    for batch in _batches(sources, targets):
        pairs = [sources[i] for i in batch], [targets[i] for i in batch]
        results |= zip(batch, _lead(stepper, *pairs, [steered[i] for i in batch], alternatives), strict=True)
    return [results[number] for number in range(len(sources))]


def _batches(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The pairs in groups of like length, so that neither memory nor time is spent on padding."""
    batch = list[int]()
    for number in sorted(range(len(sources)), key=lambda i: (len(sources[i]), len(targets[i]))):
        longest = len(sources[number])
        if batch and (len(batch) == _BATCH or longest * (len(batch) + 1) > _MOST_PIECES):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _lead(
    stepper: Stepper[Any],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    controls: Sequence[Sequence[Control]],
    alternatives: int,
) -> Iterator[ForcedScore]:
    """One batch, a row a sentence, which leaves when its target has ended."""
    found: list[list[tuple[np.float32, Floats, list[tuple[int, float]]]]] = [[] for _ in targets]
    state, live = stepper.start(sources), list(range(len(sources)))
    for place in range(max(map(len, targets))):
        staying = [row for row, own in enumerate(live) if len(targets[own]) > place]
        if len(staying) < len(live):
            state = stepper.select(state, np.array(staying), np.zeros((len(staying), 1), np.int64))
            live = [live[row] for row in staying]
        pieces = np.array([[targets[own][place - 1] if place else BEGIN] for own in live])
        step = stepper.step(pieces, state, batch_control([controls[own] for own in live], np.full(len(live), place)))
        state, log_probs = step.state, step.log_probs[:, 0]
        values, likeliest = (best.tolist() for best in largest(log_probs, min(alternatives, log_probs.shape[1])))
        for row, own in enumerate(live):
            top = list(zip(likeliest[row], values[row], strict=True))
            weights = step.weights[row, 0, : len(sources[own])]
            found[own].append((log_probs[row, targets[own][place]], weights, top))
    for places in found:
        own_log_probs, own_weights, own_top = zip(*places, strict=True)
        yield ForcedScore(np.array(own_log_probs), np.array(own_weights), list(own_top))
