"""`POST /translate`."""

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter

from nmt import Translation
from nmt.errors import InputError
from nmt.scoring.metrics import corpus_scores
from service.dependencies import RegistryDep, SettingsDep
from service.engine import Decoded
from service.errors import problem_of
from service.limits import allowed_search, check_texts, fitting, grouped_references, work_of
from service.registry import ServedModel
from service.replies import Wanted, metric_reply, model_name, translation_reply
from service.requests import TranslateRequest
from service.schemas import ProblemReply, Timing, TranslateReply, TranslationReply
from service.translating import Outcome, translate_texts

router = APIRouter(tags=["translation"])


@router.post("/translate", response_model_exclude_unset=True)
async def translate(request: TranslateRequest, settings: SettingsDep, registry: RegistryDep) -> TranslateReply:
    """Translate one text or a list of texts, with alternatives, alignments and, given references, scores.

    A bad text in a list gets an `error` of its own and does not cost the others their translation.
    """
    texts = [request.text] if isinstance(request.text, str) else request.text
    check_texts(texts, settings)
    search = allowed_search(request.search, settings)
    references = None
    if request.references is not None:
        references = grouped_references(request.references, len(texts), settings)
    model = await registry.find(request.model, request.source, request.target, texts)
    alone = isinstance(request.text, str)
    finish = partial(_reply, Wanted.by(request, settings), model, references, alone)
    with model.decoder.admitted(settings.deadline_seconds, work_of(texts, search, settings)) as deadline:
        return await translate_texts(
            model,
            texts,
            request.source,
            request.target,
            search,
            settings,
            deadline,
            finish,
            priority=request.priority,
            quick=not references and "top" not in request.details,
        )


def _reply(
    wanted: Wanted,
    model: ServedModel,
    references: list[list[str]] | None,
    alone: bool,
    outcomes: Sequence[Outcome],
    decoded: Decoded,
) -> TranslateReply:
    _raise_what_all_share(outcomes, alone)
    found = [hypothesis for each in outcomes if isinstance(each, Translation) for hypothesis in each.hypotheses]
    wanted, left_out = fitting(found, wanted)
    own: list[list[str] | None] = list(references) if references else [None] * len(outcomes)
    translations = [
        _bad(outcome) if isinstance(outcome, InputError) else translation_reply(outcome, model, wanted, refs)
        for outcome, refs in zip(outcomes, own, strict=True)
    ]
    reply = TranslateReply(
        translations=translations,
        model=model_name(model),
        timing=Timing(
            queue_ms=round(1000 * decoded.queue_seconds, 2), decode_ms=round(1000 * decoded.decode_seconds, 2)
        ),
    )
    if left_out:
        reply.warnings = [left_out]
    pairs = zip(outcomes, own, strict=True)
    scored = [(each.text, refs) for each, refs in pairs if refs and isinstance(each, Translation)]
    if scored:
        scores = corpus_scores([text for text, _ in scored], [refs for _, refs in scored], metrics=("bleu", "chrf"))
        reply.bleu, reply.chrf = metric_reply(scores["bleu"]), metric_reply(scores["chrf"])
    return reply


def _raise_what_all_share(outcomes: Sequence[Outcome], alone: bool) -> None:
    """What is wrong with the text that is no list, or with a search that no text can be translated by."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, InputError)]
    if len(errors) == len(outcomes) and (alone or all(own.field.startswith("search") for own in errors)):
        raise errors[0]


def _bad(error: InputError) -> TranslationReply:
    return TranslationReply(text=None, error=ProblemReply(**problem_of(error)))
