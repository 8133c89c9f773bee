"""Minimum-risk tuning: make likely what scores well, among the translations that the model itself would give."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nmt.config import LONGEST, SearchConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.stepper import stepper_of
from nmt.scoring.metrics import Tokenization, bleu
from nmt.search.engine import search_all
from nmt.search.stepper import Stepper
from nmt.text.tokenizer import PAD, Tokenizer
from training.batches import Batch, batch_of
from training.device import engines_beside_training


def expected_costs(
    model: Seq2Seq, batch: Batch, tokenizer: Tokenizer, count: int, tokenize: Tokenization = "13a"
) -> Tensor:
    """Σ cost(y) p(y | x) / Σ p(y' | x) of each sentence x (B,), over the `count` best y of a beam search.

    The cost is 1 - sentence BLEU, from 0 to 1, of words as `tokenize` cuts them (Shen et al. 2016, eq. 13; on n-best
    lists Edunov et al. 2018, 4.3). Searching drops no units; the probabilities are those of the model as it is set, in
    training with units dropped.
    """
    sources = [[piece for piece in row if piece != PAD] for row in batch.source.tolist()]
    found = _n_best(model, sources, count)
    references = [tokenizer.decode(reference).text for reference in batch.target_out.tolist()]
    costs = [
        [1 - sentence_bleu(tokenizer.decode(pieces).text, reference, tokenize) for pieces in hypotheses]
        for hypotheses, reference in zip(found, references, strict=True)
    ]
    repeated = [source for source, hypotheses in zip(sources, found, strict=True) for _ in hypotheses]
    log_probs = sequence_log_probs(model, repeated, [pieces for hypotheses in found for pieces in hypotheses])
    risks = [
        (own.softmax(dim=0) * own.new_tensor(cost)).sum()
        for own, cost in zip(torch.split(log_probs, [len(cost) for cost in costs]), costs, strict=True)
    ]
    return torch.stack(risks)


def sentence_bleu(translation: str, reference: str, tokenize: Tokenization = "13a") -> float:
    """From 0 to 1, smoothed as sacreBLEU does it, without the orders that a short sentence cannot have."""
    return bleu(tokenize, of_sentences=True).sentence_score(translation, [reference]).score / 100


def sequence_log_probs(model: Seq2Seq, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities (N,) of N targets, each ending with the end of sentence, given their sources."""
    batch = batch_of(sources, targets).to(next(model.parameters()).device)
    vectors, _ = model(batch.source, batch.lengths, batch.target_in)
    real = batch.target_out != PAD
    log_probs = model.logits(vectors[real]).float().log_softmax(dim=-1)
    chosen = log_probs.gather(1, batch.target_out[real].unsqueeze(1)).squeeze(1)
    sentences = torch.arange(len(targets), device=real.device).unsqueeze(1).expand_as(real)[real]
    return chosen.new_zeros(len(targets)).index_add(0, sentences, chosen)


def _n_best(model: Seq2Seq, sources: Sequence[Sequence[int]], count: int) -> list[list[list[int]]]:
    """The best translations of each source, as pieces; leaves the model in the mode that it was in."""
    training = model.training
    config = SearchConfig(beam_size=count, n_best=count, max_length=min(LONGEST, 2 * max(map(len, sources))))
    stepper: Stepper[Any] = stepper_of(model)
    found = search_all(stepper, sources, config, engines_beside_training(next(model.parameters()).device.type))
    model.train(training)
    return [[hypothesis.pieces for hypothesis in hypotheses] for hypotheses in found]
