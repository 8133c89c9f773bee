"""A network of torch as a stepper: on a GPU, where no kernels were compiled, and as what the packed one is held to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from nmt import kernels
from nmt.arrays import Floats, Integers
from nmt.kernels import Precision
from nmt.model.decoder import DecoderState
from nmt.model.encoder import Memory
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.packed import PackedStepper
from nmt.search.stepper import Step
from nmt.text.tokenizer import PAD


@dataclass(frozen=True, slots=True)
class ModelState:
    """memory of B sentences · decoder, their K rows each."""

    memory: Memory
    decoder: DecoderState


class ModelStepper:
    """Steps a `Seq2Seq`. Results come to the CPU, in float32, wherever the network is."""

    precision: Precision = "fp32"

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model.eval()
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        """Encode the sources, padded to the longest."""
        tensors = [torch.tensor(source, device=self._device) for source in sources]
        lengths = torch.tensor([len(source) for source in sources], device=self._device)
        return ModelState(*self.model.encode(pad_sequence(tensors, batch_first=True, padding_value=PAD), lengths))

    @torch.inference_mode()
    def step(self, pieces: Integers, state: ModelState, control: Floats | None = None) -> Step[ModelState]:
        """One piece a row."""
        memory = _controlled(state.memory, control)
        logits, weights, decoder = self.model.step(self._tensor(pieces), memory, state.decoder)
        log_probs = logits.float().log_softmax(dim=-1)
        return Step(log_probs.cpu().numpy(), weights.float().cpu().numpy(), ModelState(state.memory, decoder))

    @torch.inference_mode()
    def select(self, state: ModelState, sentences: Integers, rows: Integers) -> ModelState:
        """Gather the rows; the memory, which all rows of a sentence share, moves only when sentences go."""
        own = self._tensor(sentences)
        memory, decoder = _narrowed(state.memory, own), state.decoder
        at = own.unsqueeze(1) * decoder.feed.size(1) + self._tensor(rows)
        parts = (_gathered(part, at) for part in (decoder.hidden, decoder.cell, decoder.feed))
        return ModelState(memory, DecoderState(*parts))

    @torch.inference_mode()
    def join(self, first: ModelState, second: ModelState) -> ModelState:
        """Both, padded to the longer memory."""
        one, two = first.decoder, second.decoder
        return ModelState(
            _joined(first.memory, second.memory),
            DecoderState(
                torch.cat([one.hidden, two.hidden], dim=1),
                torch.cat([one.cell, two.cell], dim=1),
                torch.cat([one.feed, two.feed]),
            ),
        )

    def _tensor(self, array: Integers) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def stepper_of(model: Seq2Seq) -> PackedStepper | ModelStepper:
    """A stepper for a network as it is now: packed where kernels can step it, on the CPU, else the network itself."""
    if next(model.parameters()).device.type != "cpu" or not kernels.available():
        return ModelStepper(model)
    return PackedStepper(model.config, model.arrays())


def _gathered(rows: Tensor, at: Tensor) -> Tensor:
    """The rows (..., B, K, H) at the places (B', K') among B · K: whole rows are copied five times as fast as by
    indexing with two tensors."""
    axis = rows.dim() - 3
    found = rows.flatten(axis, axis + 1).index_select(axis, at.flatten())
    return found.view(*rows.shape[:axis], *at.shape, rows.size(-1))


def _controlled(memory: Memory, control: Floats | None) -> Memory:
    """With what a step adds to the scores of the attention: control (B, up to S)."""
    if control is None:
        return memory
    added = functional.pad(torch.from_numpy(control), (0, memory.bias.size(1) - control.shape[1]))
    return replace(memory, bias=memory.bias + added.to(memory.bias.device))


def _narrowed(memory: Memory, sentences: Tensor) -> Memory:
    """Of the sentences at these places, in ascending order, alone, and as long as the longest of them."""
    if len(sentences) == len(memory.bias):
        return memory
    bias = memory.bias[sentences]
    longest = int((bias > -math.inf).sum(dim=1).max()) if len(sentences) else 0
    return Memory(memory.values[sentences, :longest], memory.keys[sentences, :longest], bias[:, :longest])


def _joined(first: Memory, second: Memory) -> Memory:
    """Of both, padded to the longer one."""
    size = max(first.bias.size(1), second.bias.size(1))
    both = [_padded(memory, size) for memory in (first, second)]
    return Memory(*(torch.cat([getattr(memory, name) for memory in both]) for name in Memory.__slots__))


def _padded(memory: Memory, size: int) -> Memory:
    missing = size - memory.bias.size(1)
    values, keys = (functional.pad(tensor, (0, 0, 0, missing)) for tensor in (memory.values, memory.keys))
    return Memory(values, keys, functional.pad(memory.bias, (0, missing), value=-math.inf))
