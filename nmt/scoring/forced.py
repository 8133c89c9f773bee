"""What a model thinks of a translation that it did not choose itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

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
    model: Seq2Seq, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], alternatives: int = 0
) -> list[ForcedScore]:
    """Teacher-force each target, which ends with the end of sentence, on its source.

    The score of a translation that search found is the score that search gave it.
    """
    model.eval()
    results: list[ForcedScore] = []
    for first in range(0, len(sources), _BATCH):
        batch = slice(first, first + _BATCH)
        results += _score_batch(model, sources[batch], targets[batch], alternatives)
    return results


def _score_batch(
    model: Seq2Seq, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], alternatives: int
) -> list[ForcedScore]:
    device = next(model.parameters()).device
    source = pad_sequence([torch.tensor(s) for s in sources], batch_first=True, padding_value=PAD).to(device)
    shifted = [torch.tensor([BEGIN, *target[:-1]]) for target in targets]
    target_in = pad_sequence(shifted, batch_first=True, padding_value=PAD).to(device)
    lengths = torch.tensor([len(s) for s in sources], device=device)
    vectors, weights = model(source, lengths, target_in)
    log_probs = model.logits(vectors).float().log_softmax(dim=-1).cpu()
    results = []
    for i, target in enumerate(targets):
        own = log_probs[i, : len(target)]
        chosen = own.gather(1, torch.tensor(target).unsqueeze(1)).squeeze(1)
        best = own.topk(min(alternatives, own.size(1)), dim=-1)
        top = [
            list(zip(ids, values, strict=True))
            for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        attention = weights[i, : len(target), : len(sources[i])].float().cpu().numpy()
        results.append(ForcedScore(chosen.numpy(), attention, top))
    return results
