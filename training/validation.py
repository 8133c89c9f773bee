"""How good the model is now: its loss and its translations of the dev set."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from nmt.alignment import Alignment
from nmt.directions import Direction
from nmt.errors import Diverged
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.stepper import stepper_of
from nmt.scoring.metrics import Metric, MetricScore, corpus_scores
from nmt.text.tokenizer import PAD, Tokenizer
from nmt.translator import Translator
from training.batches import Batches
from training.config import Validation
from training.device import engines_beside_training
from training.gates import Saturation
from training.loss import smoothed_cross_entropy

DevSet = Sequence[tuple[str, list[str]]]
"""Sources, each with its references."""

Row = TypeVar("Row")

_LOSS_BATCH_PIECES = 4000
_GATE_SENTENCES = 32
_NO_LIMIT = 10_000
_HOPELESS = math.log(torch.finfo(torch.float32).max)
"""Nats a piece that stand for a probability which float32 does not hold; a network that knows nothing is at 7 to 11."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sentence as the model translates it now."""

    source: str
    reference: str
    translation: str
    alignment: Alignment


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What a validation found.

    loss: negative log-likelihood a target piece, in nats · scores and samples by direction, such as `en-de` ·
    saturation: the share of gates that are stuck, by layer · lost: BLEU that a fine-tuned model has lost, by direction.
    """

    loss: float
    scores: dict[str, dict[str, MetricScore]] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    saturation: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """The mean over the directions; more is better, so the loss is negated."""
        if name == "loss":
            return -self.loss
        values = [scores[name].score for scores in self.scores.values()]
        return sum(values) / len(values)

    def as_json(self) -> dict[str, Any]:
        """For the log: everything but the alignments."""
        samples = {
            direction: [{"source": s.source, "reference": s.reference, "translation": s.translation} for s in own]
            for direction, own in self.samples.items()
        }
        scores = {d: {name: asdict(score) for name, score in own.items()} for d, own in self.scores.items()}
        result = {"loss": self.loss, "scores": scores, "saturation": self.saturation, "samples": samples}
        return result | ({"lost": self.lost} if self.lost else {})


Lost = Callable[[Seq2Seq], dict[str, float]]
"""Measures the BLEU, by direction, that a model has lost since it was fine-tuned."""


def nothing_lost(_: Seq2Seq) -> dict[str, float]:
    """For a model that began with nothing."""
    return {}


class Validator:
    """Scores a model on a fixed part of each direction's dev set."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        dev_sets: Mapping[Direction, DevSet],
        config: Validation,
        lost: Lost = nothing_lost,
    ) -> None:
        self._tokenizer, self._config, self._lost = tokenizer, config, lost
        self._dev = {direction: spread(rows, config.sentences) for direction, rows in dev_sets.items()}
        sources = [
            ids for (_, target), rows in self._dev.items() for ids in tokenizer.source_ids(_column(rows), target)
        ]
        targets = [ids for rows in self._dev.values() for ids in tokenizer.target_ids([refs[0] for _, refs in rows])]
        self._batches = Batches(sources, targets, _LOSS_BATCH_PIECES, _NO_LIMIT)

    def run(self, model: Seq2Seq, metrics: Sequence[Metric] = ("bleu", "chrf")) -> ValidationResult:
        """Loss by teacher forcing, and scores by the search that the recipe names.

        Raises `Diverged` if the loss is hopeless: no search finds anything then.
        TER takes minutes of what a model writes before it has learned to end a sentence.
        """
        model.eval()
        loss = self._loss(model)
        if not loss < _HOPELESS:  # it may also be no number
            raise Diverged(
                f"the loss on the dev set is {loss:.3g} nats a piece: the weights have grown out of bounds; lower "
                "learning_rate or raise warmup_updates, and give the same command again, or, where what was saved last "
                "ends so again, train in another folder"
            )
        translator = Translator([stepper_of(model)], self._tokenizer, list(self._dev))
        engines = engines_beside_training(next(model.parameters()).device.type)
        scores, samples = {}, {}
        for direction, rows in self._dev.items():
            name = "-".join(direction)
            texts, samples[name] = self._translate(translator, direction, rows, engines)
            references = [own for _, own in rows]
            scores[name] = corpus_scores(texts, references, tokenize=self._config.tokenize, metrics=metrics)
        return ValidationResult(loss, scores, samples, self._saturation(model), self._lost(model))

    def _translate(
        self, translator: Translator, direction: Direction, rows: DevSet, engines: int
    ) -> tuple[list[str], list[Sample]]:
        source, target = direction
        translations = translator.translate(_column(rows), target, source, self._config.search, engines)
        shown = list(zip(rows, translations, strict=True))[: self._config.samples]
        samples = [Sample(text, refs[0], t.text, t.hypotheses[0].alignment()) for (text, refs), t in shown]
        return [translation.text for translation in translations], samples

    @torch.inference_mode()
    def _loss(self, model: Seq2Seq) -> float:
        device = next(model.parameters()).device
        total, pieces = 0.0, 0
        for rows in self._batches.epoch(0, 0):
            batch = self._batches.batch(rows).to(device)
            vectors, _ = model(batch.source, batch.lengths, batch.target_in)
            real = batch.target_out != PAD
            _, likelihood = smoothed_cross_entropy(vectors[real], model.output, batch.target_out[real])
            total, pieces = total + likelihood.item(), pieces + int(real.sum())
        return total / pieces

    @torch.inference_mode()
    def _saturation(self, model: Seq2Seq) -> dict[str, float]:
        """Over some sentences, one by one, so that no padding counts."""
        device, gates = next(model.parameters()).device, Saturation()
        with gates.watching(model):
            for row in spread(range(len(self._batches)), _GATE_SENTENCES):
                batch = self._batches.batch(np.array([row])).to(device)
                model(batch.source, batch.lengths, batch.target_in)
        return gates.shares


def spread(rows: Sequence[Row], count: int) -> Sequence[Row]:
    """`count` rows, evenly spread over all of them."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


def _column(rows: DevSet) -> list[str]:
    return [source for source, _ in rows]
