"""The training loss."""

from typing import Any

import torch
from torch import Tensor


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Label-smoothed cross-entropy, summed over the targets (Szegedy et al. 2016, section 7).

    logits (N, V), targets (N,). Returns the loss and, without smoothing and gradient, the negative log-likelihood.
    The gradient is made from the one softmax that the forward pass keeps, in the precision of the logits: on a CPU
    in bfloat16 this is five times as fast as `torch.nn.functional.cross_entropy`, which goes through float32.
    """
    loss, likelihood = _SmoothedCrossEntropy.apply(logits, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss, likelihood


class _SmoothedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        probabilities = logits.softmax(dim=-1)
        rows = torch.arange(len(targets), device=targets.device)
        ctx.save_for_backward(probabilities, targets)
        ctx.smoothing = smoothing
        target_logits = logits[rows, targets].float()
        tiny = torch.finfo(torch.float32).tiny
        log_likelihood = probabilities[rows, targets].float().clamp_min(tiny).log()
        uniform = (logits.sum(dim=-1, dtype=torch.float32) / logits.size(-1)) - target_logits + log_likelihood
        likelihood = -log_likelihood.sum()
        ctx.mark_non_differentiable(likelihood)
        return (1 - smoothing) * likelihood - smoothing * uniform.sum(), likelihood

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        probabilities, targets = ctx.saved_tensors
        rows = torch.arange(len(targets), device=targets.device)
        gradient = probabilities - ctx.smoothing / probabilities.size(-1)
        gradient[rows, targets] -= 1 - ctx.smoothing
        return gradient.mul_(gradients[0].to(gradient.dtype)), None, None
