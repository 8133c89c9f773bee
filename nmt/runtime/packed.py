"""Encoder and decode step as fast as the processor allows: what can be worked out before a sentence comes, is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmt import kernels
from nmt.arrays import Arrays, Floats, Integers
from nmt.config import ModelConfig
from nmt.kernels import Memory, Precision, States
from nmt.runtime.parts import Parts
from nmt.search.stepper import Step
from nmt.text.tokenizer import PAD


@dataclass(frozen=True, slots=True)
class PackedState:
    """memory of B' sentences · sentences (B,): which are meant · states of N rows · rows (B, K): which are meant.

    So to reorder the rows, or to let sentences go, is to choose indices; what they stand for stays where it is.
    """

    memory: Memory
    sentences: Integers
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
        """Encode the sources, padded to the longest."""
        lengths = np.array([len(source) for source in sources])
        inside = np.arange(lengths.max()) < lengths[:, None]
        pieces = np.full(inside.shape, PAD)
        pieces[inside] = np.concatenate(sources)
        values = kernels.encode(self._encoder, self._embedding[pieces], lengths)
        bias = np.where(inside, np.float32(0), np.float32(-np.inf))
        count, size = len(sources), self._encoder.size
        # The last of the forward half and the first of the backward half have read all of a sentence.
        summary = np.concatenate([values[np.arange(count), lengths - 1, :size], values[:, 0, size:]], axis=1)
        first = kernels.product(self._bridge, summary, "tanh").reshape(count, 2, self._decoder.depth, -1)
        hidden, cell = np.ascontiguousarray(first.transpose(1, 2, 0, 3))
        feed = np.zeros((count, self._decoder.embedding_size), np.float32)
        memory = Memory(values, self._keys(values), bias)
        return PackedState(memory, np.arange(count), States(hidden, cell, feed), np.arange(count)[:, None])

    def _keys(self, values: Floats) -> Floats:
        """values (B, S, M) → the keys (B, S, A), in the form that the step wants."""
        if self._key is None:
            return values
        batch, places, size = values.shape
        return kernels.product(self._key, values.reshape(-1, size), self._form).reshape(batch, places, -1)

    def step(self, pieces: Integers, state: PackedState, control: Floats | None = None) -> Step[PackedState]:
        """One piece a row; an empty one costs nothing."""
        memory = _controlled(state, control)
        given = pieces, pieces != PAD, memory, state.sentences, state.states, state.rows
        log_probs, weights, states, rows = kernels.decode_step(self._decoder, *given)
        return Step(log_probs, weights, PackedState(state.memory, state.sentences, states, rows))

    def select(self, state: PackedState, sentences: Integers, rows: Integers) -> PackedState:
        """The memory is copied only when the sentences that stay need half of it at most."""
        memory, own, chosen = state.memory, state.sentences[sentences], state.rows[sentences[:, None], rows]
        if len(own) < len(state.sentences) and 2 * len(own) * _longest(memory, own) <= memory.bias.size:
            memory, own = _gathered((memory, own)), np.arange(len(own))
        return PackedState(memory, own, state.states, chosen)

    def join(self, first: PackedState, second: PackedState) -> PackedState:
        """Both, padded to the longer memory."""
        memory = _gathered((first.memory, first.sentences), (second.memory, second.sentences))
        states = States(*(np.concatenate(own, axis=-2) for own in zip(first.states, second.states, strict=True)))
        rows = np.concatenate([first.rows, second.rows + len(first.states.feed)])
        return PackedState(memory, np.arange(len(memory.bias)), states, rows)


def _controlled(state: PackedState, control: Floats | None) -> Memory:
    """The memory, with what a step adds to the scores of the attention: control (B, up to S)."""
    if control is None:
        return state.memory
    bias = state.memory.bias.copy()
    bias[state.sentences, : control.shape[1]] += control
    return state.memory._replace(bias=bias)


def _longest(memory: Memory, sentences: Integers) -> int:
    """Pieces of the longest of the sentences at these places."""
    return int((memory.bias[sentences] > -np.inf).sum(axis=1).max(initial=0))


def _gathered(*parts: tuple[Memory, Integers]) -> Memory:
    """Of the sentences at those places of each memory, padded to the longest of all."""
    sizes = [_longest(*part) for part in parts]
    ends = np.cumsum([len(sentences) for _, sentences in parts]).tolist()

    def all_of(name: str, fill: float) -> Floats:
        arrays = [getattr(memory, name) for memory, _ in parts]
        gathered = np.full((ends[-1], max(sizes), *arrays[0].shape[2:]), fill, np.float32)
        for array, (_, sentences), end, size in zip(arrays, parts, ends, sizes, strict=True):
            gathered[end - len(sentences) : end, :size] = array[sentences, :size]
        return gathered

    return Memory(all_of("values", 0), all_of("keys", 0), all_of("bias", -np.inf))
