"""`POST /score` and `POST /evaluate`: what the model thinks of a translation, and what references say of it."""

from dataclasses import asdict

from fastapi import APIRouter

from nmt import SearchConfig
from nmt.errors import InputError
from nmt.scoring import evaluation
from nmt.translator import attempted, check_pair
from service.dependencies import RegistryDep, SettingsDep
from service.engine import Decoded
from service.errors import problem_of
from service.limits import (
    allowed_search,
    check_comparisons,
    check_length,
    check_pairs,
    check_texts,
    fitting,
    grouped_references,
    work_of,
)
from service.registry import ServedModel
from service.replies import DIGITS, Wanted, metric_reply, model_name, scored_reply
from service.requests import EvaluateRequest, ScoreRequest
from service.schemas import (
    BadReply,
    BucketReply,
    EvaluateReply,
    ProblemReply,
    ScoreReply,
)
from service.settings import Settings
from service.translating import Outcome, translate_texts

router = APIRouter(tags=["evaluation"])


@router.post("/score", response_model_exclude_unset=True)
async def score(request: ScoreRequest, settings: SettingsDep, registry: RegistryDep) -> ScoreReply:
    """The log-probability and the alignment of translations that you bring."""
    texts, translations = (
        [value] if isinstance(value, str) else value for value in (request.text, request.translation)
    )
    check_texts(texts, settings)
    check_texts(translations, settings, "translation")
    if len(texts) != len(translations):
        raise InputError(
            f"translation has {len(translations)} entries for {len(texts)} texts; one each is wanted", "translation"
        )
    model = await registry.find(request.model, request.source, request.target, texts)
    pairs, wanted = list(zip(texts, translations, strict=True)), Wanted.by(request, settings)
    work = sum(len(text) + len(translation) for text, translation in pairs)
    with model.decoder.admitted(settings.deadline_seconds, work) as deadline:
        return await model.decoder.score(lambda: _score(request, model, pairs, wanted, settings), deadline)


@router.post("/evaluate")
async def evaluate(request: EvaluateRequest, settings: SettingsDep, registry: RegistryDep) -> EvaluateReply:
    """BLEU, chrF2 and TER with signatures, confidence intervals, and BLEU by sentence length."""
    references = grouped_references(request.references, len(request.sources), settings)
    check_texts(request.sources, settings, "sources")
    search = allowed_search(request.search, settings)
    if request.hypotheses is not None:
        count, wanted = len(request.hypotheses), len(request.sources)
        if count != wanted:
            raise InputError(f"hypotheses has {count} entries for {wanted} sources; one each is wanted", "hypotheses")
        for field, own in (("sources", request.sources), ("hypotheses", request.hypotheses)):
            for text in own:
                check_length(text, settings, field)
    model = await registry.find(request.model, request.source, request.target, request.sources)
    work = 0 if request.hypotheses else work_of(request.sources, search, settings)
    with model.decoder.admitted(settings.deadline_seconds, work) as deadline:
        hypotheses = request.hypotheses or await _translate_all(request, search, settings, model, deadline)
        check_comparisons(hypotheses, references)
        result = await model.decoder.score(
            lambda: evaluation.evaluate(request.sources, hypotheses, references), deadline
        )
    return EvaluateReply(
        bleu=metric_reply(result.bleu),
        chrf=metric_reply(result.chrf),
        ter=metric_reply(result.ter),
        by_length=[BucketReply(**{**asdict(own), "bleu": round(own.bleu, DIGITS)}) for own in result.by_length],
        hypotheses=hypotheses,
        model=model_name(model),
    )


async def _translate_all(
    request: EvaluateRequest, search: SearchConfig, settings: Settings, model: ServedModel, deadline: float
) -> list[str]:
    def texts(outcomes: list[Outcome], _: Decoded) -> list[str]:
        return [_text(outcome, number) for number, outcome in enumerate(outcomes)]

    return await translate_texts(
        model,
        request.sources,
        request.source,
        request.target,
        search,
        settings,
        deadline,
        texts,
        priority="bulk",
        quick=True,
    )


def _text(outcome: Outcome, number: int) -> str:
    """What cannot be translated makes no score: it would be that of the mistake in the request."""
    if isinstance(outcome, InputError):
        raise type(outcome)(f"sources {number}: {outcome}", "sources") from outcome
    return outcome.text


def _score(
    request: ScoreRequest, model: ServedModel, pairs: list[tuple[str, str]], wanted: Wanted, settings: Settings
) -> ScoreReply:
    """A bad pair becomes its error, as a bad text in `translate` does."""

    def check(pair: tuple[str, str]) -> None:
        for own, field in zip(pair, ("text", "translation"), strict=True):
            check_length(own, settings, field)
        check_pair(pair)

    errors = [attempted(check, pair) for pair in pairs]
    good = [pair for pair, error in zip(pairs, errors, strict=True) if error is None]
    if isinstance(request.text, str) and errors[0]:
        raise errors[0]
    check_pairs(good, model.translator.tokenizer, request.target, wanted.max_weights)
    found = model.translator.score(good, request.target, request.source)
    wanted, left_out = fitting(found, wanted)
    scored = (scored_reply(own, model, wanted) for own in found)
    scores = [
        next(scored) if error is None else BadReply(text=None, error=ProblemReply(**problem_of(error)))
        for error in errors
    ]
    reply = ScoreReply(scores=scores, model=model_name(model))
    if left_out:
        reply.warnings = [left_out]
    return reply
