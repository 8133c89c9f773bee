"""From the library's results to the replies of the API."""

from collections.abc import Collection
from dataclasses import asdict

from nmt import TextHypothesis, Translation
from nmt.alignment import Alignment, Level
from nmt.scoring.metrics import MetricScore, sentence_scores
from service.registry import ServedModel
from service.schemas import (
    AlignmentChoice,
    AlignmentReply,
    Detail,
    HypothesisReply,
    LinkReply,
    MetricReply,
    ModelName,
    QualityReply,
    TokenReply,
    TopReply,
    TranslationReply,
    UnitReply,
)

_DIGITS = 4  # of weights and scores: more would only make replies longer
_ALTERNATIVES = 5


def model_name(model: ServedModel) -> ModelName:
    """Which weights answered."""
    return ModelName(name=model.name, version=model.version, sha256=model.sha256)


def metric_reply(score: MetricScore) -> MetricReply:
    """A metric's score."""
    return MetricReply(**asdict(score))


def translation_reply(
    translation: Translation,
    model: ServedModel,
    alignment: AlignmentChoice,
    details: Collection[Detail],
    references: list[str] | None,
) -> TranslationReply:
    """A translated text."""
    scores = sentence_scores(translation.text, references) if references else {}
    return TranslationReply(
        text=translation.text,
        score=round(translation.score, _DIGITS),
        detected_source=translation.detected_source,
        hypotheses=[hypothesis_reply(h, model, alignment, details) for h in translation.hypotheses],
        quality=QualityReply(**asdict(translation.hypotheses[0].quality)),
        bleu=metric_reply(scores["bleu"]) if scores else None,
        chrf=metric_reply(scores["chrf"]) if scores else None,
    )


def hypothesis_reply(
    hypothesis: TextHypothesis, model: ServedModel, alignment: AlignmentChoice, details: Collection[Detail]
) -> HypothesisReply:
    """One hypothesis with what was asked for."""
    first: Level = "pieces" if alignment == "pieces" else "words"
    return HypothesisReply(
        text=hypothesis.text,
        score=round(hypothesis.score, _DIGITS),
        log_prob=round(hypothesis.log_prob, _DIGITS),
        length=hypothesis.length,
        alignment=None if alignment == "none" else _alignment(hypothesis.alignment(first)),
        alignment_pieces=_alignment(hypothesis.alignment("pieces")) if alignment == "both" else None,
        tokens=_tokens(hypothesis, model, details) if details else None,
    )


def _alignment(alignment: Alignment) -> AlignmentReply:
    return AlignmentReply(
        level=alignment.level,
        source=[UnitReply(**asdict(unit)) for unit in alignment.source],
        target=[UnitReply(**asdict(unit)) for unit in alignment.target],
        weights=[[round(weight, _DIGITS) for weight in row] for row in alignment.weights.tolist()],
        links=[LinkReply(source=k.source, target=k.target, weight=round(k.weight, _DIGITS)) for k in alignment.links],
        pharaoh=alignment.pharaoh,
    )


def _tokens(hypothesis: TextHypothesis, model: ServedModel, details: Collection[Detail]) -> list[TokenReply]:
    tokens = [
        TokenReply(**{**asdict(token), "log_prob": round(token.log_prob, _DIGITS)}) for token in hypothesis.tokens
    ]
    if "top" in details:
        for token, best in zip(tokens, model.translator.alternatives(hypothesis, _ALTERNATIVES), strict=True):
            token.top = [TopReply(piece=piece, log_prob=round(log_prob, _DIGITS)) for piece, log_prob in best]
    return tokens
