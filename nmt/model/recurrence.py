"""The recurrence of an LSTM over whole sentences, with a backward pass made of few, large matrix products."""

from typing import Any

import torch
from torch import Tensor

from nmt.kernels import training

EPSILON = 1e-5
"""Added to the variance of a gate that is normalized."""


def lstm(
    inputs: Tensor,
    weights: tuple[Tensor, Tensor, Tensor],
    state: tuple[Tensor, Tensor],
    kept: Tensor | None = None,
    gain: Tensor | None = None,
) -> Tensor:
    """Run D independent LSTMs of the same size side by side, such as the two directions of an encoder.

    inputs (D, T, B, I) · weights: input (D, 4H, I), recurrent (D, 4H, H), bias (D, 4H), gates in the order input,
    forget, cell, output · state: hidden and cell (D, B, H) · kept (D, B, H), factors of the hidden state wherever it
    enters the recurrent product: variational dropout, Gal & Ghahramani 2016, eq. 7 · gain (D, 4H), with which what goes
    into the gates is `normalized` before the bias. Returns the outputs (D, T, B, H).
    Products are in the type of the inputs; the cell state keeps its own, which may be wider.

    On a CPU in bfloat16 this is 1.1 to 1.5 times as fast as oneDNN's LSTM, whose backward pass adds up the weights'
    gradients step by step: here only h·U depends on the step before, all else is one product over all positions.
    """
    hidden, cell = state
    outputs: Tensor = _LSTM.apply(inputs, *weights, gain, hidden, cell, kept)  # type: ignore[no-untyped-call]
    return outputs


def normalized(sums: Tensor, gain: Tensor) -> Tensor:
    """The sums (..., 4H) that go into the gates, each gate brought to mean 0 and variance 1 over its units, times gain.

    Layer normalization a gate (Ba et al. 2016, eq. 4; as in RNMT+, Chen et al. 2018, section 4.1): one normalization of
    the sum of W·x and U·h where Ba et al., eq. 20-22, take one of each and one of the cell state. So a step stays one
    product, and what the layer gives stays in [-1, 1]. The LSTM's own bias takes the place of the shift.
    """
    return _standardized(sums)[0].flatten(-2) * gain


def _standardized(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 4, H), means and reciprocal deviations (..., 4, 1)."""
    size = sums.size(-1) // 4
    return torch.native_layer_norm(sums.view(*sums.shape[:-1], 4, size), [size], None, None, EPSILON)


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        input_weights: Tensor,
        recurrent_weights: Tensor,
        bias: Tensor,
        gain: Tensor | None,
        hidden: Tensor,
        cell: Tensor,
        kept: Tensor | None,
    ) -> Tensor:
        directions, steps, batch, _ = inputs.shape
        size = hidden.size(-1)
        # What goes into the gates, W·x + U·h; without a gain also the bias, and the gates take its place.
        sums = inputs.new_empty(directions, steps, batch, 4 * size)
        added = bias if gain is None else torch.zeros_like(bias)
        for d in range(directions):
            torch.addmm(added[d], inputs[d].flatten(0, 1), input_weights[d].t(), out=sums[d].flatten(0, 1))
        gates = sums if gain is None else torch.empty_like(sums)
        # One more than steps: the first is the state before the first step.
        hiddens = inputs.new_empty(directions, steps + 1, batch, size)
        cells = cell.new_empty(hiddens.shape)
        hiddens[:, 0], cells[:, 0] = hidden, cell
        activate = training.lstm_forward if _has_kernels(gates, cells) else _activate
        for t in range(steps):
            sums[:, t].baddbmm_(hiddens[:, t] if kept is None else hiddens[:, t] * kept, recurrent_weights.mT)
            if gain is not None:
                torch.add(normalized(sums[:, t], gain.unsqueeze(1)), bias.unsqueeze(1), out=gates[:, t])
            activate(gates, cells, hiddens, t)
        ctx.save_for_backward(inputs, input_weights, recurrent_weights, gain, sums, gates, hiddens, cells, kept)
        return hiddens[:, 1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, input_weights, recurrent_weights, gain, sums, gates, hiddens, cells, kept = ctx.saved_tensors
        norm = None if gain is None else _Norm(sums, gain)
        into_gates, into_sums, into_hidden, into_cell = _backward_through_time(
            gradients[0].contiguous(), gates, cells, recurrent_weights, kept, norm
        )
        before = hiddens[:, :-1] if kept is None else hiddens[:, :-1] * kept.unsqueeze(1)
        flat = into_sums.flatten(1, 2)
        ones = flat.new_ones(1, flat.size(1))
        return (
            _products(flat, input_weights).view_as(inputs) if ctx.needs_input_grad[0] else None,
            _products(flat.mT, inputs.flatten(1, 2)),
            _products(flat.mT, before.flatten(1, 2)),
            # A product adds up in float32, and is faster than a sum.
            torch.cat([ones @ own for own in into_gates.flatten(1, 2)]),
            None if norm is None else norm.into_gain(into_gates),
            into_hidden,
            into_cell,
            None,
        )


def _has_kernels(gates: Tensor, cells: Tensor) -> bool:
    return training.usable(gates) and cells.dtype == torch.float32


def _activate(gates: Tensor, cells: Tensor, hiddens: Tensor, step: int) -> None:
    """`nmt.kernels.training.lstm_forward` in torch."""
    size, now = hiddens.size(-1), gates[:, step]
    now[..., : 2 * size].sigmoid_()
    now[..., 2 * size : 3 * size].tanh_()
    now[..., 3 * size :].sigmoid_()
    entering, keeping, candidate, leaving = now.chunk(4, dim=-1)
    after = torch.mul(cells[:, step], keeping, out=cells[:, step + 1]).addcmul_(entering, candidate)
    torch.mul(leaving, after.to(gates.dtype).tanh(), out=hiddens[:, step + 1])


class _Norm:
    """The way back through `normalized`, for the sums (D, T, B, 4H) of all steps and their gain (D, 4H)."""

    def __init__(self, sums: Tensor, gain: Tensor) -> None:
        self._sums, self._gain = sums, gain.unsqueeze(1)
        self._values, self._means, self._scales = _standardized(sums)

    def into_sums(self, into_gates: Tensor, step: int) -> Tensor:
        """The gradient (D, B, 4H) of a step's sums from that of its gates."""
        size = self._values.size(-1)
        sums, means, scales = (own[:, step].contiguous() for own in (self._sums, self._means, self._scales))
        through = (into_gates * self._gain).view(*means.shape[:-1], size)
        gradient: Tensor = torch.ops.aten.native_layer_norm_backward(
            through, sums.view_as(through), [size], means, scales, None, None, [True, False, False]
        )[0]
        return gradient.flatten(-2)

    def into_gain(self, into_gates: Tensor) -> Tensor:
        """The gradient (D, 4H)."""
        return (into_gates * self._values.flatten(-2)).sum(dim=(1, 2))


def _products(left: Tensor, right: Tensor) -> Tensor:
    """(D, N, K) and (D, K, M) → (D, N, M): one product after the other, as large ones are slower in a batch."""
    products = left.new_empty(len(left), left.size(1), right.size(2))
    for d in range(len(left)):
        torch.mm(left[d], right[d], out=products[d])
    return products


def _backward_through_time(
    into_outputs: Tensor,
    gates: Tensor,
    cells: Tensor,
    recurrent_weights: Tensor,
    kept: Tensor | None,
    norm: _Norm | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of the gates before their nonlinearity, and of the sums in them, (D, T, B, 4H) each.

    Also returns the gradients of the first state (D, B, H) each.
    """
    into_gates = torch.empty_like(gates)
    into_sums = into_gates if norm is None else torch.empty_like(gates)
    into_cell = torch.zeros_like(cells[:, 0])
    from_next = torch.zeros_like(into_outputs[:, 0])
    has_kernels = _has_kernels(gates, cells)
    back = training.lstm_backward if has_kernels else _LocalDerivatives(gates, cells, into_gates).multiply
    for t in reversed(range(gates.size(1))):
        back(into_outputs, from_next, gates, cells, into_gates, into_cell, t)
        if norm is not None:
            into_sums[:, t] = norm.into_sums(into_gates[:, t], t)
        from_next = into_sums[:, t] @ recurrent_weights
        if kept is not None:
            from_next *= kept
    return into_gates, into_sums, from_next, into_cell


class _LocalDerivatives:
    """`nmt.kernels.training.lstm_backward` in torch: those of all steps at once, then times what comes from behind."""

    def __init__(self, gates: Tensor, cells: Tensor, into_gates: Tensor) -> None:
        sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        entering, keeping, candidate, leaving = gates.chunk(4, dim=-1)
        squashed = cells[:, 1:].to(gates.dtype).tanh()
        into_entering, into_keeping, into_candidate, into_leaving = into_gates.chunk(4, dim=-1)
        into_entering.copy_(sigmoid_backward(candidate, entering))
        into_keeping.copy_(sigmoid_backward(cells[:, :-1].to(gates.dtype), keeping))
        into_candidate.copy_(tanh_backward(entering, candidate))
        into_leaving.copy_(sigmoid_backward(squashed, leaving))
        self._cell_by_hidden = tanh_backward(leaving, squashed)

    def multiply(
        self,
        into_outputs: Tensor,
        from_next: Tensor,
        gates: Tensor,
        cells: Tensor,
        into_gates: Tensor,
        into_cell: Tensor,
        step: int,
    ) -> None:
        size, now = cells.size(-1), into_gates[:, step]
        into_hidden = into_outputs[:, step] + from_next
        into_cell += into_hidden * self._cell_by_hidden[:, step]
        now[..., : 3 * size].view(*now.shape[:-1], 3, size).mul_(into_cell.to(gates.dtype).unsqueeze(-2))
        now[..., 3 * size :].mul_(into_hidden)
        into_cell *= gates[:, step, :, size : 2 * size]
