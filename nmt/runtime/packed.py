"""Encoder and decode step as fast as the processor allows: what can be worked out before a sentence comes, is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nmt import kernels
from nmt.arrays import Arrays, Floats, Integers
from nmt.config import ModelConfig
from nmt.kernels import Memory, Precision, States
from nmt.runtime.parts import Parts
from nmt.search.stepper import Step


@dataclass(frozen=True, slots=True)
class PackedState:
    """memory of B sentences · states of N rows · rows (B, K): which of these are meant.

    So to reorder the rows, or to let sentences go, is to choose indices; what they stand for stays where it is.
    """

    memory: Memory
    states: States
    rows: Integers


class PackedStepper:
    """Steps a network on the CPU with weights that are packed here, once: when they have changed, make a new one.

    In fp32 the numbers are those of `nmt.model` to 1e-5; `nmt.kernels.decode` says what int8 rounds.
    """

    def __init__(self, config: ModelConfig, weights: Arrays, precision: Precision = "fp32") -> None:
        self.precision = precision
        parts = Parts(config, weights, precision)
        self._embedding = parts.embedding("source")
        self._encoder, self._decoder = parts.encoder(), parts.decoder()
        self._bridge, self._key = parts.linear("decoder.bridge", parts.bounded), parts.key()
        self._form: kernels.Function = "exponential" if parts.has_tanh else "plain"

    def start(self, sources: Sequence[Sequence[int]]) -> PackedState:
        """Encode the sources."""
        count, size, lengths = len(sources), self._encoder.size, np.array([len(source) for source in sources])
        ends = np.cumsum(lengths)
        values = kernels.encode(self._encoder, self._embedding[np.concatenate(sources)], lengths)
        own_values = _apart(values, ends)
        own_keys = own_values if self._key is None else _apart(kernels.product(self._key, values, self._form), ends)
        # The last of the forward half and the first of the backward half have read all of a sentence.
        summary = np.concatenate([values[ends - 1, :size], values[ends - lengths, size:]], axis=1)
        first = kernels.product(self._bridge, summary, "tanh").reshape(count, 2, self._decoder.depth, -1)
        lstm = np.ascontiguousarray(first.transpose(1, 2, 0, 3))
        feed = np.zeros((count, self._decoder.embedding_size), np.float32)
        memory = Memory.of(list(zip(own_values, own_keys, strict=True)))
        return PackedState(memory, States(lstm, feed), np.arange(count)[:, None])

    def step(self, pieces: Integers, state: PackedState, control: Floats | None = None) -> Step[PackedState]:
        """One piece a row; an empty one costs nothing."""
        memory = state.memory if control is None else state.memory.controlled(control)
        log_probs, weights, states, rows = kernels.decode_step(self._decoder, pieces, memory, state.states, state.rows)
        return Step(log_probs, weights, PackedState(state.memory, states, rows))

    def select(self, state: PackedState, sentences: Integers, rows: Integers) -> PackedState:
        """Choose rows, and let the other sentences go."""
        memory = state.memory if len(sentences) == len(state.rows) else state.memory.select(sentences)
        return PackedState(memory, state.states, state.rows[sentences[:, None], rows])

    def join(self, first: PackedState, second: PackedState) -> PackedState:
        """Both."""
        states = States(*(np.concatenate(own, axis=-2) for own in zip(first.states, second.states, strict=True)))
        rows = np.concatenate([first.rows, second.rows + len(first.states.feed)])
        return PackedState(first.memory.join(second.memory), states, rows)


def _apart(rows: Floats, ends: Integers) -> list[Floats]:
    """What each sentence has of the rows, as an array of its own, which does not keep those of the others in memory."""
    bounds = [0, *ends.tolist()]
    return [rows[start:end].copy() for start, end in pairwise(bounds)]
