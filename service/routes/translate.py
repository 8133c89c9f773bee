"""`POST /translate`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from fastapi import APIRouter

from nmt import SearchConfig, Translation
from nmt.errors import InputError, UnknownLanguage
from nmt.scoring.metrics import corpus_scores
from nmt.search.automaton import Automaton
from nmt.search.queue import Priority
from nmt.translation import Job
from nmt.translator import AUTO
from service.dependencies import RegistryDep, SettingsDep
from service.engine import Decoded
from service.errors import problem_of
from service.limits import check_search, check_size, check_texts, grouped_references
from service.registry import ServedModel
from service.replies import Wanted, metric_reply, model_name, translation_reply
from service.schemas import ProblemReply, Timing, TranslateReply, TranslateRequest, TranslationReply

router = APIRouter(tags=["translation"])

Outcome = Translation | InputError
Result = TypeVar("Result")

_SHORT = 1000  # characters, or pieces, of all hypotheses: about a millisecond to plan, and another for the reply
_MOST_STATES = 8000  # of the automata of a request, of some 40 kB each


@router.post("/translate", response_model_exclude_unset=True)
async def translate(request: TranslateRequest, settings: SettingsDep, registry: RegistryDep) -> TranslateReply:
    """Translate one text or a list of texts, with alternatives, alignments and, given references, scores.

    A bad text in a list gets an `error` of its own and does not cost the others their translation.
    """
    texts = [request.text] if isinstance(request.text, str) else request.text
    check_texts(texts, settings)
    check_search(request.search, settings)
    references = None if request.references is None else grouped_references(request.references, len(texts))
    model = registry.find(request.model, request.source, request.target)
    finish = partial(_reply, Wanted.by(request, settings), model, references)
    with model.decoder.admitted(settings.deadline_seconds) as deadline:
        return await translate_texts(
            model,
            texts,
            request.source,
            request.target,
            request.search,
            deadline,
            finish,
            priority=request.priority,
            quick=not references and "top" not in request.details,
        )


async def translate_texts(
    model: ServedModel,
    texts: Sequence[str],
    source: str,
    target: str,
    search: SearchConfig,
    deadline: float,
    finish: Callable[[list[Outcome], Decoded], Result],
    *,
    priority: Priority,
    quick: bool,
) -> Result:
    """Plan, decode together with everybody else's texts, assemble; a text that cannot be translated is its error.

    `finish` makes the reply of it, in the same thread as the assembling; quick: it does not take longer than that.
    """
    size = sum(map(len, texts)) * search.n_best
    here = quick and size <= _SHORT and source != AUTO and not search.guided
    plans = await _done(model, lambda: _plan_all(model, texts, source, target, search), deadline, here=here)
    jobs = [plan for plan in plans if isinstance(plan, Job)]
    sources = [pieces.ids for job in jobs for pieces in job.sources]
    guides = [guide for job in jobs for guide in job.guides]
    decoded = Decoded([], 0.0, 0.0)
    if sources:
        decoded = await model.decoder.decode(sources, search, deadline, guides, priority)
    found = iter(decoded.hypotheses)

    def outcome(plan: Job | InputError) -> Outcome:
        if isinstance(plan, InputError):
            return plan
        own = [next(found) for _ in plan.sources]
        try:
            return model.translator.assemble(plan, own, search)
        except InputError as error:
            return error

    here = here and sum(len(own.pieces) for found in decoded.hypotheses for own in found) <= _SHORT
    return await _done(model, lambda: finish([outcome(plan) for plan in plans], decoded), deadline, here=here)


async def _done(model: ServedModel, work: Callable[[], Result], deadline: float, *, here: bool) -> Result:
    """Short work is done here: to change threads, twice, costs more. While it lasts, nobody else is answered."""
    return work() if here else await model.decoder.plan(work, deadline)


def _plan_all(
    model: ServedModel, texts: Sequence[str], source: str, target: str, search: SearchConfig
) -> list[Job | InputError]:
    plans, automata = [], set[Automaton]()
    for text in texts:
        plans.append(_plan(model, text, source, target, search))
        if isinstance(plan := plans[-1], Job):
            automata.update(own for guide in plan.guides for own in guide.automata)
        if sum(len(own.needed) for own in automata) > _MOST_STATES:
            raise InputError(
                "what prefix, include, exclude and glossary ask of so many texts takes too much memory; send fewer "
                "texts at once, or shorter phrases",
                "search",
            )
    return plans


def _plan(model: ServedModel, text: str, source: str, target: str, search: SearchConfig) -> Job | InputError:
    try:
        return model.translator.plan(text, source, target, search)
    except UnknownLanguage:
        raise  # the same for all texts
    except InputError as error:
        return error


def _reply(
    wanted: Wanted,
    model: ServedModel,
    references: list[list[str]] | None,
    outcomes: Sequence[Outcome],
    decoded: Decoded,
) -> TranslateReply:
    if isinstance(outcomes[0], InputError) and len(outcomes) == 1:
        raise outcomes[0]
    found = [hypothesis for each in outcomes if isinstance(each, Translation) for hypothesis in each.hypotheses]
    check_size(found, wanted)
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
    if references:
        texts = ["" if isinstance(outcome, InputError) else outcome.text for outcome in outcomes]
        scores = corpus_scores(texts, references, metrics=("bleu", "chrf"))
        reply.bleu, reply.chrf = metric_reply(scores["bleu"]), metric_reply(scores["chrf"])
    return reply


def _bad(error: InputError) -> TranslationReply:
    return TranslationReply(text=None, error=ProblemReply(**problem_of(error)))
