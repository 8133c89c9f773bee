"""Recurrent layers: whole sequences in one fused kernel, or one step by hand with the same weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.model.dropout import Dropout
from nmt.model.recurrence import lstm, normalized


class LSTMLayer(nn.Module):
    """One layer in one direction (Hochreiter & Schmidhuber 1997; gates in the order input, forget, cell, output).

    Padding must be at the end: the outputs before it do not depend on it. `recurrent_dropout` zeroes the same units of
    the hidden state before each step of a sentence (Gal & Ghahramani 2016, section 4.2); `gate_norm` normalizes what
    goes into each gate, see `nmt.model.recurrence.normalized`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, recurrent_dropout: float = 0.0, gate_norm: bool = False
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.gain = nn.Parameter(torch.ones(4 * hidden_size)) if gate_norm else None
        self.recurrent_dropout = Dropout(recurrent_dropout)
        if not self.lstm.weight_hh_l0.is_meta:
            self._initialize(hidden_size)

    def _initialize(self, hidden_size: int) -> None:
        """Glorot input weights, orthogonal recurrent weights a gate, forget bias 1 (Jozefowicz et al. 2015)."""
        input_weights, recurrent_weights, input_bias, recurrent_bias = self.lstm.parameters()
        with torch.no_grad():
            nn.init.xavier_uniform_(input_weights)
            for gate in recurrent_weights.chunk(4):
                nn.init.orthogonal_(gate)
            recurrent_bias.zero_()
            input_bias.zero_()
            input_bias[hidden_size : 2 * hidden_size].fill_(1.0)

    def forward(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """inputs (B, T, I), first state (B, H) each. Returns the outputs (B, T, H)."""
        return run([self], [inputs], hidden.unsqueeze(0), cell.unsqueeze(0))[0]

    def kept(self, hidden: Tensor) -> Tensor | None:
        """Factors (B, H) for all hidden states of B sentences, of which `hidden` (B, H) is one; None: leave them."""
        if not self.training or not self.recurrent_dropout.dropped_bytes:
            return None
        factors: Tensor = self.recurrent_dropout(torch.ones_like(hidden))
        return factors

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """inputs (..., I), state and `kept` (..., H) each. Returns the next hidden and cell state.

        By hand, because `nn.LSTM` repacks its weights at every call, which costs more than one step does.
        """
        gates = self.gates(inputs, hidden if kept is None else hidden * kept)
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        return torch.sigmoid(output_gate) * torch.tanh(cell), cell

    def gates(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """inputs (..., I), the hidden state (..., H) before them → the gates (..., 4H) before their nonlinearity."""
        input_weights, recurrent_weights, input_bias, recurrent_bias = self.lstm.parameters()
        if self.gain is None:
            from_inputs = functional.linear(inputs, input_weights, input_bias)
            return from_inputs + functional.linear(hidden, recurrent_weights, recurrent_bias)
        sums = functional.linear(inputs, input_weights) + functional.linear(hidden, recurrent_weights)
        return normalized(sums, self.gain.to(sums.dtype)) + (input_bias + recurrent_bias).to(sums.dtype)


def run(layers: Sequence[LSTMLayer], inputs: Sequence[Tensor], hidden: Tensor, cell: Tensor) -> list[Tensor]:
    """Run each layer on its inputs (B, T, I), from its part of the first states (D, B, H). Outputs (B, T, H) each.

    Our own recurrence where it is the fastest, or where no library can keep the same units dropped or normalize gates;
    else the one of oneDNN or cuDNN behind `nn.LSTM`.
    """
    kept = [layer.kept(state) for layer, state in zip(layers, hidden, strict=True)]
    device = inputs[0].device.type
    fastest = device == "cpu" and torch.is_autocast_enabled(device)
    if fastest or kept[0] is not None or layers[0].gain is not None:
        return _run_together(layers, inputs, (hidden, cell), kept)
    outputs = zip(layers, inputs, hidden, cell, strict=True)
    # cuDNN refuses states that are not contiguous.
    return [layer.lstm(own, (h[None].contiguous(), c[None].contiguous()))[0] for layer, own, h, c in outputs]


def _run_together(
    layers: Sequence[LSTMLayer],
    inputs: Sequence[Tensor],
    state: tuple[Tensor, Tensor],
    kept: Sequence[Tensor | None],
) -> list[Tensor]:
    """All layers in one recurrence, which wants time before batch, and one type for all that it multiplies."""
    device = inputs[0].device.type
    narrow = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs[0].dtype
    stacked = _stacked([own.transpose(0, 1) for own in inputs], narrow).contiguous()
    input_weights, recurrent_weights, *biases = (
        _stacked(own, narrow) for own in zip(*(layer.lstm.parameters() for layer in layers), strict=True)
    )
    weights = input_weights, recurrent_weights, biases[0] + biases[1]
    factors, gain = (_of_all(own, narrow) for own in (kept, [layer.gain for layer in layers]))
    hidden, cell = state[0].to(narrow), state[1].to(torch.promote_types(narrow, torch.float32))
    outputs = lstm(stacked, weights, (hidden, cell), factors, gain)
    return [own.transpose(0, 1) for own in outputs]


def _stacked(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Side by side, in that type, which is narrow: so it comes first. A single one is not copied once more."""
    first, *others = (own.to(dtype) for own in tensors)
    return torch.stack([first, *others]) if others else first.unsqueeze(0)


def _of_all(of_layers: Sequence[Tensor | None], dtype: torch.dtype) -> Tensor | None:
    """What all layers have, or none of them."""
    present = [own for own in of_layers if own is not None]
    return _stacked(present, dtype) if present else None


class BidirectionalLayer(nn.Module):
    """A forward and a backward layer side by side, whose outputs never see the padding."""

    def __init__(
        self, input_size: int, hidden_size: int, recurrent_dropout: float = 0.0, gate_norm: bool = False
    ) -> None:
        super().__init__()
        self.left_to_right = LSTMLayer(input_size, hidden_size, recurrent_dropout, gate_norm)
        self.right_to_left = LSTMLayer(input_size, hidden_size, recurrent_dropout, gate_norm)

    def forward(self, inputs: Tensor, backward_order: Tensor) -> Tensor:
        """inputs (B, S, I), backward_order (B, S) from `reversal`. Returns (B, S, 2H)."""
        zeros = inputs.new_zeros(2, len(inputs), self.left_to_right.lstm.hidden_size)
        both = [self.left_to_right, self.right_to_left]
        forward, backward = run(both, [inputs, reorder(inputs, backward_order)], zeros, zeros)
        return torch.cat([forward, reorder(backward, backward_order)], dim=-1)


def reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that turn each sequence around and leave its padding at the end: lengths (B,) → (B, size).

    Flipping the padding to the front instead would let the backward layer start on it, and a sentence's numbers would
    depend on its neighbours in the batch. The order is its own inverse.
    """
    positions = torch.arange(size, device=lengths.device)
    flipped = lengths.unsqueeze(1) - 1 - positions
    return torch.where(flipped >= 0, flipped, positions)


def reorder(sequence: Tensor, order: Tensor) -> Tensor:
    """sequence (B, S, F), order (B, S), its own inverse → the sequence with its positions in that order."""
    reordered: Tensor = _Reorder.apply(sequence, order)  # type: ignore[no-untyped-call]
    return reordered


class _Reorder(torch.autograd.Function):
    """The gradient is put in order by the same gather; a general one would be scattered, which is slower."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        sentences = torch.arange(len(order), device=order.device).unsqueeze(1)
        return sequence[sentences, order]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return reorder(gradients[0], order), None
