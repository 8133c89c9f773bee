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
    reply = MetricReply(score=score.score, signature=score.signature)
    if score.low is not None:
        reply.low, reply.high = score.low, score.high
    return reply


def translation_reply(
    translation: Translation,
    model: ServedModel,
    alignment: AlignmentChoice,
    details: Collection[Detail],
    references: list[str] | None,
) -> TranslationReply:
    """A translated text."""
    reply = TranslationReply(
        text=translation.text,
        score=round(translation.score, _DIGITS),
        detected_source=translation.detected_source,
        hypotheses=[hypothesis_reply(h, model, alignment, details) for h in translation.hypotheses],
        quality=QualityReply(**asdict(translation.hypotheses[0].quality)),
    )
    if references:
        scores = sentence_scores(translation.text, references)
        reply.bleu, reply.chrf = metric_reply(scores["bleu"]), metric_reply(scores["chrf"])
    return reply


def hypothesis_reply(
    hypothesis: TextHypothesis, model: ServedModel, alignment: AlignmentChoice, details: Collection[Detail]
) -> HypothesisReply:
    """One hypothesis with what was asked for; what was not is not in the reply, rather than null."""
    first: Level = "pieces" if alignment == "pieces" else "words"
    reply = HypothesisReply(
        text=hypothesis.text,
        score=round(hypothesis.score, _DIGITS),
        log_prob=round(hypothesis.log_prob, _DIGITS),
        length=hypothesis.length,
    )
    if alignment != "none":
        reply.alignment = _alignment(hypothesis.alignment(first))
    if alignment == "both":
        reply.alignment_pieces = _alignment(hypothesis.alignment("pieces"))
    if details:
        reply.tokens = _tokens(hypothesis, model, details)
    return reply


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
