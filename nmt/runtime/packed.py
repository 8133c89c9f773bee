"""Encoder and decode step as fast as the processor allows: what can be worked out before a sentence comes, is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nmt import kernels
from nmt.kernels import Input, Precision
from nmt.model.attention import score_bias
from nmt.model.encoder import Memory
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.parts import PackedAttention, PackedEncoder, PackedLayer, PackedNormalizedLayer, bounded
from nmt.runtime.stepper import controlled, joined, narrowed
from nmt.search.stepper import Step
from nmt.text.tokenizer import PAD


@dataclass(frozen=True, slots=True)
class PackedState:
    """memory of B sentences · hidden, cell (N, H) of each layer, feed (N, E) · rows (B, K): which of the N are meant.

    So to reorder the rows is to reorder indices; the states themselves stay where the step has written them.
    """

    memory: Memory
    hidden: tuple[Tensor, ...]
    cell: tuple[Tensor, ...]
    feed: Tensor
    rows: Tensor


class PackedStepper:
    """Steps a `Seq2Seq` on the CPU with weights that are packed here, once: when they have changed, make a new one.

    In fp32 the numbers are the module's to 1e-5; `nmt.kernels` says what int8 rounds.
    """

    def __init__(self, model: Seq2Seq, precision: Precision = "fp32") -> None:
        self._model, self.precision = model.eval(), precision
        states, decoder, config = bounded(model.config, precision), model.decoder, model.config
        layer = PackedNormalizedLayer if config.gate_norm else PackedLayer
        with torch.inference_mode():
            self._encoder = PackedEncoder(model, precision) if PackedEncoder.serves(config) else model.encoder
            self._attention = PackedAttention(decoder.attention, states)
            self._layers = [layer(model, depth, self._precision_of(depth)) for depth in range(decoder.depth)]
            pack = partial(kernels.pack, precision=states)
            self._bridge, self._readout = (pack(own.weight, own.bias) for own in (decoder.bridge, decoder.readout))
            self._output = kernels.pack(model.output.weight, model.output.bias, precision)

    def _precision_of(self, depth: int) -> Precision:
        """The first layer may read nothing that has left a layer."""
        config = self._model.config
        inside = depth == 0 and config.wiring != "conditional"
        return self.precision if inside else bounded(config, self.precision)

    def start(self, sources: Sequence[Sequence[int]]) -> PackedState:
        """Encode the sources, padded to the longest."""
        model, lengths = self._model, torch.tensor([len(source) for source in sources])
        pieces = pad_sequence([torch.tensor(source) for source in sources], batch_first=True, padding_value=PAD)
        embedded = model.source_embedding(pieces) * math.sqrt(model.config.embedding_size)
        values, summary = self._encoder(embedded, lengths)
        bias = score_bias(torch.arange(pieces.size(1)) < lengths.unsqueeze(1))
        first = kernels.product(self._bridge, [(summary, None)], "tanh")
        hidden, cell = first.view(len(sources), 2, len(self._layers), -1).permute(1, 2, 0, 3).contiguous()
        feed = torch.zeros(len(sources), model.config.embedding_size)
        memory = Memory(values, self._attention.keys(values), bias)
        return PackedState(memory, tuple(hidden), tuple(cell), feed, torch.arange(len(sources)).unsqueeze(1))

    def step(self, pieces: Tensor, state: PackedState, control: Tensor | None = None) -> Step[PackedState]:
        """One piece a row."""
        decoder, memory = self._model.decoder, controlled(state.memory, control)
        rows, flat = state.rows.flatten(), pieces.flatten()
        hidden, cell = list(state.hidden), list(state.cell)
        context = weights = outputs = state.feed  # until attention and layers have spoken
        inputs: list[Input] = []
        if decoder.wiring == "conditional":
            context, weights = self._attention(decoder.norms[-1](hidden[-1][rows]), memory)
            inputs = [(context, None)]
        elif decoder.wiring == "input_feeding":
            inputs = [(state.feed, rows)]
        for depth, layer in enumerate(self._layers):
            if depth:
                inputs = [(outputs, None), (context, None)] if decoder.wiring == "deep" else [(outputs, None)]
            hidden[depth], cell[depth] = layer([*inputs, (hidden[depth], rows)], (cell[depth], rows), flat)
            outputs = decoder.join(depth, hidden[depth], outputs)
            if depth == decoder.asking:
                context, weights = self._attention(outputs, memory)
        feed = kernels.product(self._readout, [(outputs, None), (context, None)], "tanh")
        log_probs = kernels.log_softmax(kernels.product(self._output, [(feed, None)]))
        own = torch.arange(len(flat)).view(pieces.shape)
        after = PackedState(state.memory, tuple(hidden), tuple(cell), feed, own)
        return Step(log_probs.view(*pieces.shape, -1), weights, after)

    def select(self, state: PackedState, sentences: Tensor, rows: Tensor) -> PackedState:
        """Only the memory is copied, and only when sentences go."""
        chosen = state.rows[sentences.unsqueeze(1), rows]
        return PackedState(narrowed(state.memory, sentences), state.hidden, state.cell, state.feed, chosen)

    def join(self, first: PackedState, second: PackedState) -> PackedState:
        """Both, padded to the longer memory."""
        hidden, cell = (
            tuple(map(torch.cat, zip(getattr(first, name), getattr(second, name), strict=True)))
            for name in ("hidden", "cell")
        )
        rows = torch.cat([first.rows, second.rows + len(first.feed)])
        memory = joined(first.memory, second.memory)
        return PackedState(memory, hidden, cell, torch.cat([first.feed, second.feed]), rows)
