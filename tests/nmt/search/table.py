"""A stepper that looks its probabilities up: search tested without a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.search.stepper import Step
from nmt.text.tokenizer import BEGIN

VOCABULARY = 7
"""The four special pieces and three that text is made of."""


@dataclass(frozen=True)
class TableState:
    """history (B, K, T): the pieces of each row so far, and the source of each sentence."""

    sources: tuple[tuple[int, ...], ...]
    history: Tensor


class TableStepper:
    """Log-probabilities are a random but fixed function of the source and of all pieces so far."""

    def log_probs(self, source: Sequence[int], pieces: Sequence[int]) -> Tensor:
        """The distribution after the given pieces."""
        seed = hash((tuple(source), tuple(pieces))) % 2**31
        generator = torch.Generator().manual_seed(seed)
        return (2 * torch.randn(VOCABULARY, generator=generator)).log_softmax(-1)

    def weights(self, source: Sequence[int], pieces: Sequence[int]) -> Tensor:
        """The attention after the given pieces."""
        seed = hash((tuple(pieces), tuple(source))) % 2**31
        return torch.rand(len(source), generator=torch.Generator().manual_seed(seed)).softmax(-1)

    def start(self, sources: Sequence[Sequence[int]]) -> TableState:
        """No pieces yet."""
        return TableState(tuple(map(tuple, sources)), torch.zeros(len(sources), 1, 0, dtype=torch.long))

    def step(self, pieces: Tensor, state: TableState, control: Tensor | None = None) -> Step[TableState]:
        """Look up each row. The pieces do not depend on the attention."""
        history = torch.cat([state.history, pieces.unsqueeze(-1)], dim=-1)
        longest = max(map(len, state.sources))
        rows, attention = [], []
        for source, own in zip(state.sources, history.tolist(), strict=True):
            paths = [[p for p in path if p != BEGIN] for path in own]
            rows.append(torch.stack([self.log_probs(source, path) for path in paths]))
            padded = torch.zeros(len(paths), longest)
            padded[:, : len(source)] = torch.stack([self.weights(source, path) for path in paths])
            attention.append(padded)
        weights = torch.stack(attention)
        if control is not None:
            factors = torch.nn.functional.pad(control, (0, longest - control.size(1))).exp().unsqueeze(1)
            weights = weights * factors / (weights * factors).sum(dim=-1, keepdim=True)
        return Step(torch.stack(rows), weights, TableState(state.sources, history))

    def select(self, state: TableState, sentences: Tensor, rows: Tensor) -> TableState:
        """Gather rows."""
        chosen = tuple(state.sources[i] for i in sentences.tolist())
        return TableState(chosen, state.history[sentences.unsqueeze(1), rows])

    def join(self, first: TableState, second: TableState) -> TableState:
        """Both; the shorter histories are filled up in front with the start piece, which counts for nothing."""
        size = max(first.history.size(-1), second.history.size(-1))
        padded = [
            torch.nn.functional.pad(state.history, (size - state.history.size(-1), 0), value=BEGIN)
            for state in (first, second)
        ]
        return TableState(first.sources + second.sources, torch.cat(padded))
