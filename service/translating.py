"""Texts on their way through a model: planned, decoded together with everybody else's, assembled."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from nmt import SearchConfig, Translation
from nmt.directions import AUTO
from nmt.errors import InputError
from nmt.search.automaton import Automaton
from nmt.search.queue import Priority
from nmt.translation import Job
from nmt.translator import attempted
from service.engine import Decoded
from service.limits import check_automata, check_length
from service.registry import ServedModel
from service.settings import Settings

Outcome = Translation | InputError
Result = TypeVar("Result")

_SHORT = 1000  # characters, or pieces, of all hypotheses: about a millisecond to plan, and another for the reply


async def translate_texts(
    model: ServedModel,
    texts: Sequence[str],
    source: str,
    target: str,
    search: SearchConfig,
    settings: Settings,
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

    def plan(text: str) -> Job:
        check_length(text, settings)
        return model.translator.plan(text, source, target, search)

    plans = await _done(model, lambda: _plan_all(plan, texts, deadline), deadline, here=here)
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
        return attempted(model.translator.assemble, plan, own, search)

    here = here and sum(len(own.pieces) for found in decoded.hypotheses for own in found) <= _SHORT
    return await _done(model, lambda: finish([outcome(plan) for plan in plans], decoded), deadline, here=here)


async def _done(model: ServedModel, work: Callable[[], Result], deadline: float, *, here: bool) -> Result:
    """Short work is done here: to change threads, twice, costs more. While it lasts, nobody else is answered."""
    return work() if here else await model.decoder.plan(work, deadline)


def _plan_all(plan: Callable[[str], Job], texts: Sequence[str], deadline: float) -> list[Job | InputError]:
    """Raises `TimeoutError` at the deadline: nobody waits for it any more."""
    plans, automata = [], set[Automaton]()
    for text in texts:
        if time.perf_counter() > deadline:
            raise TimeoutError
        plans.append(attempted(plan, text))
        if isinstance(job := plans[-1], Job):
            automata.update(own for guide in job.guides for own in guide.automata)
        check_automata(automata)
    return plans
