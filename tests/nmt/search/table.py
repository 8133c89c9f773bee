"""A stepper that looks its probabilities up: search tested without a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.search.stepper import Step
from nmt.text.tokenizer import BEGIN

VOCABULARY = 7
"""The four special pieces and three that text is made of."""


@dataclass(frozen=True)
class TableState:
    """history (B, K, T): the pieces of each row so far, and the source of each sentence."""

    sources: tuple[tuple[int, ...], ...]
    history: Integers


def log_softmax(scores: Floats) -> Floats:
    """Over the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.log(exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


class TableStepper:
    """Log-probabilities are a random but fixed function of the source and of all pieces so far."""

    def log_probs(self, source: Sequence[int], pieces: Sequence[int]) -> Floats:
        """The distribution after the given pieces."""
        generator = np.random.default_rng(hash((tuple(source), tuple(pieces))) % 2**31)
        return log_softmax(2 * generator.standard_normal(VOCABULARY))

    def weights(self, source: Sequence[int], pieces: Sequence[int]) -> Floats:
        """The attention after the given pieces."""
        generator = np.random.default_rng(hash((tuple(pieces), tuple(source))) % 2**31)
        return np.exp(log_softmax(generator.random(len(source))))

    def start(self, sources: Sequence[Sequence[int]]) -> TableState:
        """No pieces yet."""
        return TableState(tuple(map(tuple, sources)), np.zeros((len(sources), 1, 0), np.int64))

    def step(self, pieces: Integers, state: TableState, control: Floats | None = None) -> Step[TableState]:
        """Look up each row. The pieces do not depend on the attention."""
        history = np.concatenate([state.history, pieces[..., None]], axis=-1)
        longest = max(map(len, state.sources))
        rows, attention = [], []
        for source, own in zip(state.sources, history.tolist(), strict=True):
            paths = [[p for p in path if p != BEGIN] for path in own]
            rows.append([self.log_probs(source, path) for path in paths])
            beyond = longest - len(source)
            attention.append([np.pad(self.weights(source, path), (0, beyond)) for path in paths])
        weights = np.array(attention)
        if control is not None:
            factors = np.exp(np.pad(control, [(0, 0), (0, longest - control.shape[1])]))[:, None]
            weights = weights * factors / (weights * factors).sum(axis=-1, keepdims=True)
        return Step(np.array(rows), weights, TableState(state.sources, history))

    def select(self, state: TableState, sentences: Integers, rows: Integers) -> TableState:
        """Gather rows."""
        chosen = tuple(state.sources[i] for i in sentences.tolist())
        return TableState(chosen, state.history[sentences[:, None], rows])

    def join(self, first: TableState, second: TableState) -> TableState:
        """Both; the shorter histories are filled up in front with the start piece, which counts for nothing."""
        size = max(first.history.shape[-1], second.history.shape[-1])
        padded = [
            np.pad(state.history, [(0, 0), (0, 0), (size - state.history.shape[-1], 0)], constant_values=BEGIN)
            for state in (first, second)
        ]
        return TableState(first.sources + second.sources, np.concatenate(padded))
