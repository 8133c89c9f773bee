"""Encoder and decode step as fast as the processor allows: what can be worked out before a sentence comes, is."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nmt.model.attention import score_bias
from nmt.model.decoder import DecoderState
from nmt.model.encoder import Memory
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.encoder_graph import encoder_graph
from nmt.runtime.graph import run
from nmt.runtime.products import Precision
from nmt.runtime.step_graph import StepGraph, piece_table
from nmt.runtime.stepper import ModelState, ModelStepper, controlled
from nmt.search.stepper import Step
from nmt.text.tokenizer import PAD


class PackedStepper(ModelStepper):
    """Steps a `Seq2Seq` on the CPU with weights that are packed here, once: when they have changed, make a new one.

    In fp32 the numbers are the module's to 1e-5; `nmt.runtime.products` says what int8 rounds.
    """

    def __init__(self, model: Seq2Seq, precision: Precision = "fp32") -> None:
        super().__init__(model)
        self.precision = precision
        with torch.inference_mode():
            self._table = piece_table(model)
            self._encoder = encoder_graph(model, precision).session()
            self._step = StepGraph(model, precision).graph.session()

    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        """Encode the sources, padded to the longest."""
        model, lengths = self.model, torch.tensor([len(source) for source in sources])
        pieces = pad_sequence([torch.tensor(source) for source in sources], batch_first=True, padding_value=PAD)
        inputs = model.source_embedding(pieces) * math.sqrt(model.config.embedding_size)
        name = "embedded"
        if model.config.gate_norm:
            inputs, name = model.encoder(inputs, lengths)[0], "values"
        values, keys, states = run(self._encoder, {name: inputs, "lengths": lengths})
        bias = score_bias(torch.arange(pieces.size(1)) < lengths.unsqueeze(1))
        return ModelState(Memory(values, keys, bias), model.decoder.first_state(states))

    def step(self, pieces: Tensor, state: ModelState, control: Tensor | None = None) -> Step[ModelState]:
        """One piece a row."""
        memory, decoder = controlled(state.memory, control), state.decoder
        inputs = {"pieces": pieces, "hidden": decoder.hidden, "cell": decoder.cell, "feed": decoder.feed}
        inputs |= {"values": memory.values, "keys": memory.keys, "bias": memory.bias, "table": self._table}
        log_probs, weights, *new = run(self._step, inputs)
        return Step(log_probs.view(*pieces.shape, -1), weights, ModelState(state.memory, DecoderState(*new)))
