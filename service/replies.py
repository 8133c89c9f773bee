"""From the library's results to the replies of the API."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nmt import TextHypothesis, Translation
from nmt.alignment import Alignment, Level, Unit
from nmt.arrays import Floats
from nmt.scoring.metrics import MetricScore, sentence_scores
from service.registry import ServedModel
from service.requests import AlignmentChoice, Detail, ScoreRequest, TranslateRequest
from service.schemas import (
    AlignmentReply,
    HypothesisReply,
    LinkReply,
    MetricReply,
    ModelName,
    QualityReply,
    ScoredReply,
    TermReply,
    TokenReply,
    TopReply,
    TranslationReply,
    UnitReply,
    WordReply,
)
from service.settings import Settings

_LEVELS: dict[AlignmentChoice, tuple[Level, ...]] = {
    "none": (),
    "words": ("words",),
    "pieces": ("pieces",),
    "both": ("words", "pieces"),
    "characters": ("characters",),
}
DIGITS = 4
"""Of weights and scores: more would only make replies longer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants to know of each translation."""

    levels: tuple[Level, ...]
    details: Collection[Detail]
    alternatives: int
    min_confidence: float
    max_weights: int

    @classmethod
    def by(cls, request: TranslateRequest | ScoreRequest, settings: Settings) -> Self:
        """What it asks for, or else what the settings say."""
        least = settings.min_confidence if request.min_confidence is None else request.min_confidence
        levels = _LEVELS[request.alignment]
        return cls(levels, request.details, request.alternatives, least, settings.max_weights)


def model_name(model: ServedModel) -> ModelName:
    """Which weights answered."""
    return ModelName(name=model.name, version=model.version, sha256=model.sha256)


def metric_reply(score: MetricScore) -> MetricReply:
    """A metric's score."""
    reply = MetricReply(score=round(score.score, DIGITS), signature=score.signature)
    if score.low is not None and score.high is not None:
        reply.low, reply.high = round(score.low, DIGITS), round(score.high, DIGITS)
    return reply


def translation_reply(
    translation: Translation, model: ServedModel, wanted: Wanted, references: list[str] | None
) -> TranslationReply:
    """A translated text."""
    reply = TranslationReply(
        text=translation.text,
        score=round(translation.score, DIGITS),
        detected_source=translation.detected_source,
        hypotheses=[hypothesis_reply(h, model, wanted) for h in translation.hypotheses],
        quality=_quality(translation.hypotheses[0], wanted),
    )
    if references:
        scores = sentence_scores(translation.text, references)
        reply.bleu, reply.chrf = metric_reply(scores["bleu"]), metric_reply(scores["chrf"])
    return reply


def scored_reply(hypothesis: TextHypothesis, model: ServedModel, wanted: Wanted) -> ScoredReply:
    """A translation that the caller brought."""
    own = hypothesis_reply(hypothesis, model, wanted)
    return ScoredReply(**own.model_dump(exclude_unset=True), quality=_quality(hypothesis, wanted))


def hypothesis_reply(hypothesis: TextHypothesis, model: ServedModel, wanted: Wanted) -> HypothesisReply:
    """One hypothesis with what was asked for; what was not is not in the reply, rather than null."""
    reply = HypothesisReply(
        text=hypothesis.text,
        score=round(hypothesis.score, DIGITS),
        log_prob=round(hypothesis.log_prob, DIGITS),
        length=hypothesis.length,
    )
    alignments = [_alignment(hypothesis.alignment(level)) for level in wanted.levels]
    if alignments:
        reply.alignment = alignments[0]
    if len(alignments) > 1:
        reply.alignment_pieces = alignments[1]
    if {"tokens", "top"} & set(wanted.details):
        reply.tokens = _tokens(hypothesis, model, wanted)
    if "words" in wanted.details:
        units = zip(hypothesis.target_words, hypothesis.word_confidences, strict=True)
        reply.words = [WordReply(**asdict(unit), confidence=round(value, DIGITS)) for unit, value in units]
    if terms := hypothesis.terms:
        reply.terms = [TermReply.model_validate(asdict(term)) for term in terms]
    return reply


def _quality(hypothesis: TextHypothesis, wanted: Wanted) -> QualityReply:
    reply = QualityReply.model_validate(hypothesis.quality_report(wanted.min_confidence))
    reply.confidence, reply.coverage = round(reply.confidence, DIGITS), round(reply.coverage, DIGITS)
    for sentence in reply.sentences:
        sentence.confidence = round(sentence.confidence, DIGITS)
    return reply


def _units(units: Sequence[Unit]) -> list[UnitReply]:
    return [UnitReply(text=unit.text, start=unit.start, end=unit.end) for unit in units]


def _alignment(alignment: Alignment) -> AlignmentReply:
    weights = _rounded(alignment.weights).tolist()
    links = [(link.source, link.target) for link in alignment.links]
    return AlignmentReply(
        level=alignment.level,
        source=_units(alignment.source),
        target=_units(alignment.target),
        weights=weights,
        links=[LinkReply(source=source, target=target, weight=weights[target][source]) for source, target in links],
        pharaoh=alignment.pharaoh,
    )


def _rounded(weights: Floats) -> NDArray[np.float64]:
    """Weights (T, S) with few digits, whose rows still sum to 1: the largest of each takes what rounding left over."""
    rounded = weights.astype(np.float64).round(DIGITS)
    if rounded.size:
        largest = np.arange(len(rounded)), rounded.argmax(axis=1)
        rounded[largest] = (rounded[largest] + 1 - rounded.sum(axis=1)).round(DIGITS)
    return rounded


def _tokens(hypothesis: TextHypothesis, model: ServedModel, wanted: Wanted) -> list[TokenReply]:
    tokens = [TokenReply(**{**asdict(token), "log_prob": round(token.log_prob, DIGITS)}) for token in hypothesis.tokens]
    if "top" in wanted.details:
        likeliest = model.translator.alternatives(hypothesis, wanted.alternatives)
        for token, best in zip(tokens, likeliest, strict=True):
            token.top = [TopReply(piece=piece, log_prob=round(log_prob, DIGITS)) for piece, log_prob in best]
    return tokens
