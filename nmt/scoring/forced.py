"""What a model thinks of a translation that it did not choose itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nmt.model.mixture import Mixing, mix
from nmt.model.seq2seq import Seq2Seq
from nmt.search.hypothesis import Floats
from nmt.text.tokenizer import BEGIN, PAD

_BATCH = 32


@dataclass(frozen=True, slots=True)
class ForcedScore:
    """log_probs (T,) of the given pieces · weights (T, S) · top: the likeliest pieces at each place, (id, log_prob)."""

    log_probs: Floats
    weights: Floats
    top: list[list[tuple[int, float]]]

    @property
    def log_prob(self) -> float:
        """The log-probability of the whole, in nats."""
        return float(self.log_probs.sum())


@torch.inference_mode()
def score_forced(
    models: Sequence[Seq2Seq],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    alternatives: int = 0,
    mixing: Mixing = "log_linear",
) -> list[ForcedScore]:
    """Teacher-force each target, which ends with the end of sentence, on its source. Several models are an ensemble.

    The score of a translation that search found is the score that search gave it.
    """
    results: list[ForcedScore] = []
    for first in range(0, len(sources), _BATCH):
        own_sources, own_targets = sources[first : first + _BATCH], targets[first : first + _BATCH]
        members = [_force(model.eval(), own_sources, own_targets) for model in models]
        log_probs = mix([found for found, _ in members], mixing)
        weights = torch.stack([found for _, found in members]).mean(dim=0)
        results += [
            _result(log_probs[i, : len(target)], weights[i, : len(target), : len(source)], target, alternatives)
            for i, (source, target) in enumerate(zip(own_sources, own_targets, strict=True))
        ]
    return results


def _force(model: Seq2Seq, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The log-probabilities (B, T, V) of all pieces at each place, and the weights (B, T, S)."""
    device = next(model.parameters()).device
    source = pad_sequence([torch.tensor(s) for s in sources], batch_first=True, padding_value=PAD).to(device)
    shifted = [torch.tensor([BEGIN, *target[:-1]]) for target in targets]
    target_in = pad_sequence(shifted, batch_first=True, padding_value=PAD).to(device)
    lengths = torch.tensor([len(s) for s in sources], device=device)
    vectors, weights = model(source, lengths, target_in)
    return model.logits(vectors).float().log_softmax(dim=-1).cpu(), weights.float().cpu()


def _result(log_probs: Tensor, weights: Tensor, target: Sequence[int], alternatives: int) -> ForcedScore:
    chosen = log_probs.gather(1, torch.tensor(target).unsqueeze(1)).squeeze(1)
    best = log_probs.topk(min(alternatives, log_probs.size(1)), dim=-1)
    top = [
        list(zip(ids, values, strict=True))
        for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return ForcedScore(chosen.numpy(), weights.numpy(), top)
