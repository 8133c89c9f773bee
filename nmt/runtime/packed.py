"""Encoder and decode step as fast as the processor allows: what can be worked out before a sentence comes, is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nmt import kernels
from nmt.kernels import Precision, States
from nmt.model.attention import score_bias
from nmt.model.encoder import Memory
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.parts import bounded, has_tanh, packed_decoder, packed_encoder
from nmt.runtime.stepper import controlled, joined, narrowed
from nmt.search.stepper import Step
from nmt.text.tokenizer import PAD


@dataclass(frozen=True, slots=True)
class PackedState:
    """memory of B sentences · states of N rows · rows (B, K): which of the N are meant.

    So to reorder the rows is to reorder indices; the states themselves stay where the step has written them.
    """

    memory: Memory
    states: States
    rows: Tensor


class PackedStepper:
    """Steps a `Seq2Seq` on the CPU with weights that are packed here, once: when they have changed, make a new one.

    In fp32 the numbers are the module's to 1e-5; `nmt.kernels.decode` says what int8 rounds.
    """

    def __init__(self, model: Seq2Seq, precision: Precision = "fp32") -> None:
        self._model, self.precision = model.eval(), precision
        key, bridge, states = model.decoder.attention.key, model.decoder.bridge, bounded(model.config, precision)
        with torch.inference_mode():
            self._encoder = packed_encoder(model, precision)
            self._bridge = kernels.pack(bridge.weight, bridge.bias, states)
            self._key = kernels.pack(key.weight, key.bias, states) if isinstance(key, nn.Linear) else None
            self._decoder = packed_decoder(model, precision)

    def start(self, sources: Sequence[Sequence[int]]) -> PackedState:
        """Encode the sources, padded to the longest."""
        model, lengths = self._model, torch.tensor([len(source) for source in sources])
        pieces = pad_sequence([torch.tensor(source) for source in sources], batch_first=True, padding_value=PAD)
        embedded = model.source_embedding(pieces) * math.sqrt(model.config.embedding_size)
        if self._encoder:
            values = kernels.encode(self._encoder, embedded, lengths)
        else:
            values, _ = model.encoder(embedded, lengths)
        summary = model.encoder.summary(values, lengths)
        bias = score_bias(torch.arange(pieces.size(1)) < lengths.unsqueeze(1))
        first = kernels.product(self._bridge, summary, "tanh").view(len(sources), 2, self._decoder.depth, -1)
        hidden, cell = first.permute(1, 2, 0, 3).contiguous()
        feed = torch.zeros(len(sources), self._decoder.embedding_size)
        memory = Memory(values, self._keys(values), bias)
        return PackedState(memory, (hidden, cell, feed), torch.arange(len(sources)).unsqueeze(1))

    def _keys(self, values: Tensor) -> Tensor:
        """values (B, S, M) → the keys (B, S, A), in the form that the step wants."""
        if self._key is None:
            return values
        form: kernels.Function = "exponential" if has_tanh(self._model) else "plain"
        return kernels.product(self._key, values.flatten(0, 1), form).view(*values.shape[:2], -1)

    def step(self, pieces: Tensor, state: PackedState, control: Tensor | None = None) -> Step[PackedState]:
        """One piece a row."""
        memory = controlled(state.memory, control)
        own = memory.values, memory.keys, memory.bias
        log_probs, weights, states = kernels.decode_step(self._decoder, pieces, own, state.states, state.rows)
        rows = torch.arange(pieces.numel()).view(pieces.shape)
        return Step(log_probs, weights, PackedState(state.memory, states, rows))

    def select(self, state: PackedState, sentences: Tensor, rows: Tensor) -> PackedState:
        """Only the memory is copied, and only when sentences go."""
        chosen = state.rows[sentences.unsqueeze(1), rows]
        return PackedState(narrowed(state.memory, sentences), state.states, chosen)

    def join(self, first: PackedState, second: PackedState) -> PackedState:
        """Both, padded to the longer memory."""
        hidden, cell, feed = (torch.cat(own, dim=-2) for own in zip(first.states, second.states, strict=True))
        rows = torch.cat([first.rows, second.rows + len(first.states[-1])])
        return PackedState(joined(first.memory, second.memory), (hidden, cell, feed), rows)
