"""Recurrent layers: whole sequences in one fused kernel, or one step by hand with the same weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LSTMLayer(nn.Module):
    """One layer in one direction (Hochreiter & Schmidhuber 1997; gates in the order input, forget, cell, output).

    Padding must be at the end: the outputs before it do not depend on it.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
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

    def forward(self, inputs: Tensor, hidden: Tensor | None = None, cell: Tensor | None = None) -> Tensor:
        """inputs (B, T, I), first state (B, H) each, zeros if left out. Returns the outputs (B, T, H)."""
        state = None if hidden is None or cell is None else (hidden.unsqueeze(0), cell.unsqueeze(0))
        outputs: Tensor = self.lstm(inputs, state)[0]
        return outputs

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """inputs (..., I), state (..., H) each. Returns the next hidden and cell state.

        By hand, because `nn.LSTM` repacks its weights at every call, which costs more than one step does.
        """
        input_weights, recurrent_weights, input_bias, recurrent_bias = self.lstm.parameters()
        gates = functional.linear(inputs, input_weights, input_bias)
        gates = gates + functional.linear(hidden, recurrent_weights, recurrent_bias)
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        return torch.sigmoid(output_gate) * torch.tanh(cell), cell


class BidirectionalLayer(nn.Module):
    """A forward and a backward layer side by side, whose outputs never see the padding."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.left_to_right = LSTMLayer(input_size, hidden_size)
        self.right_to_left = LSTMLayer(input_size, hidden_size)

    def forward(self, inputs: Tensor, backward_order: Tensor) -> Tensor:
        """inputs (B, S, I), backward_order (B, S) from `reversal`. Returns (B, S, 2H)."""
        reversed_outputs = self.right_to_left(reorder(inputs, backward_order))
        return torch.cat([self.left_to_right(inputs), reorder(reversed_outputs, backward_order)], dim=-1)


def reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that turn each sequence around and leave its padding at the end: lengths (B,) → (B, size).

    Flipping the padding to the front instead would let the backward layer start on it, and a sentence's numbers would
    depend on its neighbours in the batch. The order is its own inverse.
    """
    positions = torch.arange(size, device=lengths.device)
    flipped = lengths.unsqueeze(1) - 1 - positions
    return torch.where(flipped >= 0, flipped, positions)


def reorder(sequence: Tensor, order: Tensor) -> Tensor:
    """sequence (B, S, F), order (B, S) → the sequence with its positions in that order."""
    return sequence.gather(1, order.unsqueeze(-1).expand(-1, -1, sequence.size(-1)))
