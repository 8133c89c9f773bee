"""The output layer and its loss in one, so that the logits of a batch never exist as a whole."""

from typing import Any

import torch
from torch import Tensor, nn

from nmt.kernels import training

_CHUNK = 512
"""Rows whose logits are in memory at once: enough for a large product, few enough to stay near the processor."""


def smoothed_cross_entropy(
    vectors: Tensor, output: nn.Linear, targets: Tensor, smoothing: float = 0.0, consistency: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Label-smoothed cross-entropy, summed over the targets (Szegedy et al. 2016, section 7).

    vectors (N, E), output layer E → V, targets (N,). Returns the loss and, without smoothing and gradient, the negative
    log-likelihood. Each chunk's gradient is made from its softmax while that is still in the cache: in bfloat16 on a
    CPU a quarter faster than layer and loss one after the other.

    `consistency` > 0 says that the second half of the rows are the first once more, with other units dropped: the loss
    then grows by that weight × ½ (KL(p‖q) + KL(q‖p)) for each pair of rows (R-Drop, Liang et al. 2021, eq. 4).
    """
    with torch.autocast(vectors.device.type, enabled=False):  # what is narrow here is chosen product by product
        loss, likelihood = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            vectors, output.weight, output.bias, targets, smoothing, consistency
        )
    return loss, likelihood


def guided_alignment(weights: Tensor, links: Tensor) -> Tensor:
    """Cross-entropy of attention by links, summed over the target pieces that have any (Chen et al. 2016, section 3).

    weights (B, T, S): each row a distribution over the source; links (B, T, S): each row the wanted one, or zeros.
    """
    log_weights = weights.to(links.dtype).clamp_min(torch.finfo(links.dtype).tiny).log()
    return -(links * log_weights).sum()


class _SmoothedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, consistency: float
    ) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad)
        narrow_weight, narrow_bias = weight.to(vectors.dtype), bias.to(vectors.dtype)
        # Smoothing needs the mean of each row's logits: one product gives it, in full precision.
        mean_logits = vectors.to(weight.dtype) @ weight.mean(dim=0) + bias.mean()
        target_logits, log_probs = torch.empty_like(mean_logits), torch.empty_like(mean_logits)
        into_vectors, into_weight, into_bias = (torch.zeros_like(own) for own in (vectors, weight, bias))
        divergence = mean_logits.new_zeros(())
        for rows in _chunks(len(targets), halves=consistency > 0, device=targets.device):
            chunk = vectors[rows]
            logits = torch.addmm(narrow_bias, chunk, narrow_weight.t())
            gradient = logits.clone() if consistency else logits
            target_logits[rows], log_probs[rows] = _into_gradient(gradient, targets[rows], smoothing)
            if consistency:
                distance, pull = _symmetric_divergence(logits)
                divergence += consistency * distance
                gradient += consistency * pull
            if wanted:
                into_vectors[rows] = gradient @ narrow_weight
                into_weight += gradient.t() @ chunk
                into_bias += gradient.new_ones(len(rows)) @ gradient
        ctx.save_for_backward(into_vectors, into_weight, into_bias)
        likelihood = -log_probs.sum()
        ctx.mark_non_differentiable(likelihood)
        uniform = (mean_logits - target_logits + log_probs).sum()
        return (1 - smoothing) * likelihood - smoothing * uniform + divergence, likelihood

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *(own * gradients[0].to(own.dtype) for own in ctx.saved_tensors), None, None, None


def _into_gradient(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Logits (N, V) become the gradient of their cross-entropy; what they and their log-probabilities (N,) were."""
    if training.usable(logits):
        return training.cross_entropy(logits, targets, smoothing)
    numbers = torch.arange(len(targets), device=targets.device)
    at = numbers, targets
    probs, (largest, likeliest) = logits.softmax(dim=-1), logits.max(dim=-1)
    wide = torch.promote_types(logits.dtype, torch.float32)
    of_targets = logits[at].to(wide)
    # From the likeliest piece, whose probability is never too small for its logarithm.
    log_probs = of_targets - largest.to(wide) + probs[numbers, likeliest].to(wide).log()
    torch.sub(probs, smoothing / logits.size(-1), out=logits)
    logits[at] -= 1 - smoothing
    return of_targets, log_probs


def _chunks(count: int, halves: bool, device: torch.device) -> list[Tensor]:
    """Row numbers, a chunk at a time; with `halves`, rows i and i + count / 2 are in the same one."""
    rows = torch.arange(count, device=device)
    if not halves:
        return list(torch.split(rows, _CHUNK))
    first, second = (torch.split(half, _CHUNK // 2) for half in rows.chunk(2))
    return [torch.cat(pair) for pair in zip(first, second, strict=True)]


def _symmetric_divergence(logits: Tensor) -> tuple[Tensor, Tensor]:
    """½ (KL(p‖q) + KL(q‖p)), summed, of the rows p of the first half and q of the second, and its gradient.

    logits (2 N, V). The gradient by p's logits is ½ (p (log p - log q - KL(p‖q)) + p - q), that by q's alike.
    """
    log_p, log_q = logits.float().log_softmax(dim=-1).chunk(2)
    p, q, ratio = log_p.exp(), log_q.exp(), log_p - log_q
    forward, backward = (p * ratio).sum(dim=-1, keepdim=True), -(q * ratio).sum(dim=-1, keepdim=True)
    into_p = p * (ratio - forward) + p - q
    into_q = q * (-ratio - backward) + q - p
    return (forward + backward).sum() / 2, (torch.cat([into_p, into_q]) / 2).to(logits.dtype)
