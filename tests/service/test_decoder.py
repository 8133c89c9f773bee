"""Requests that several decode threads share."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nmt import SearchConfig, Translator
from nmt.errors import DeadlineExceeded, EngineError, EngineStopped, QueueFull
from nmt.search.engine import Claim, Engine
from service.engine import Decoder

SEARCH = SearchConfig(max_length=12)


def decode(decoder: Decoder, counts: list[int]) -> list[list[list[int]]]:
    """The best hypotheses of requests with that many sources, all under way at once."""

    async def all_at_once() -> list[list[list[int]]]:
        sources = [[[5 + i, 6 + i % 7, 3] for i in range(count)] for count in counts]
        requests = (decoder.decode(own, SEARCH, time.perf_counter() + 20) for own in sources)
        return [[own[0].pieces for own in decoded.hypotheses] for decoded in await asyncio.gather(*requests)]

    return asyncio.run(all_at_once())


@pytest.fixture
def translator(tiny_folder: Path) -> Translator:
    return Translator.load(tiny_folder)


def test_three_threads_answer_as_one(translator: Translator) -> None:
    """In the order of the sources, whether there are fewer of them than threads, or more."""
    counts, answers = [1, 2, 3, 7, 50], []
    for engines in (1, 3):
        decoder = Decoder(translator, queue_size=8, engines=engines)
        decoder.start()
        answers.append(decode(decoder, counts))
        assert all(thread.pending == 0 for thread in decoder.threads)
        decoder.stop()
        assert not decoder.alive

    assert answers[0] == answers[1]
    assert [len(own) for own in answers[0]] == counts


def test_an_error_in_one_thread_is_the_answer(translator: Translator, caplog: pytest.LogCaptureFixture) -> None:
    """And the threads go on with the next request."""
    decoder = Decoder(translator, queue_size=8, engines=2)
    decoder.start()
    with pytest.raises(EngineError, match="failed on this batch"):
        asyncio.run(decoder.decode([[5, 3], [10**6, 3]], SEARCH, time.perf_counter() + 20))

    assert "a decode step failed" in caplog.text
    assert len(decode(decoder, [4])[0]) == 4
    decoder.stop()


def test_an_error_in_one_thread_ends_the_work_of_the_others(translator: Translator) -> None:
    """Nobody wants the rest of a request that has failed."""
    decoder = Decoder(translator, queue_size=8, engines=2)
    long = SearchConfig(min_length=1000, max_length=1000)
    sources = [[5, 3] if i % 2 else [10**6, 3] for i in range(400)]
    decoder.start()
    with pytest.raises(EngineError):
        asyncio.run(decoder.decode(sources, long, time.perf_counter() + 60))
    until = time.monotonic() + 5
    while any(thread.pending for thread in decoder.threads) and time.monotonic() < until:
        time.sleep(0.01)

    assert all(thread.pending == 0 for thread in decoder.threads)
    decoder.stop()


def test_a_place_is_given_before_work_and_given_back(translator: Translator) -> None:
    """One more than the queue holds is refused; a `TimeoutError` inside is a deadline that has passed."""
    decoder = Decoder(translator, queue_size=2, engines=1)
    decoder.start()
    with decoder.admitted(5, 1), decoder.admitted(5, 1), pytest.raises(QueueFull, match="2 requests are waiting"):
        decoder.admitted(5, 1).__enter__()
    for _ in range(3):
        with pytest.raises(DeadlineExceeded, match="not answered within 5 s"), decoder.admitted(5, 1):
            raise TimeoutError
    decoder.stop()
    with pytest.raises(EngineStopped), decoder.admitted(5, 1):
        pass


def test_who_would_not_be_answered_in_time_is_not_let_in(translator: Translator) -> None:
    """While others are before it; alone it may try. A small request beside a large one is let in."""
    decoder = Decoder(translator, queue_size=8, engines=1)
    decoder.start()
    large, small = 1e9, 10
    with decoder.admitted(5, large):
        with pytest.raises(QueueFull, match="1 request is waiting, with all that can be done in time") as full:
            decoder.admitted(5, large).__enter__()
        with decoder.admitted(5, small):
            pass
    decoder.stop()
    assert full.value.retry_after_seconds == 30


def test_a_failure_outside_of_a_step_ends_no_thread(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks next is answered."""
    decoder = Decoder(translator, queue_size=8, engines=1)
    decoder.start()
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "submit", lambda *_: 1 / 0)
        with pytest.raises(EngineError):
            asyncio.run(decoder.decode([[4, 3]], SearchConfig(max_length=4), time.perf_counter() + 5))
    assert decoder.alive
    assert len(decode(decoder, [4])[0]) >= 1
    decoder.stop()


def test_whoever_still_waits_at_the_end_is_told(translator: Translator) -> None:
    """Also if its request was never taken in."""
    decoder = Decoder(translator, queue_size=8, engines=1)

    async def stopped() -> None:
        work = asyncio.ensure_future(decoder.decode([[4, 3]], SearchConfig(), time.perf_counter() + 60))
        await asyncio.sleep(0)
        thread = decoder.threads[0]
        thread._inbox.put(None)
        thread._inbox.put(thread._inbox.get())
        decoder.start()
        await work

    with pytest.raises(EngineStopped, match="shutting down"):
        asyncio.run(stopped())


def test_work_beside_the_decoding_is_bounded_whatever_becomes_of_its_callers(translator: Translator) -> None:
    """As much at once as there are threads for it, also when nobody waits any more; what has not begun never does."""
    decoder, running, seen = Decoder(translator, queue_size=8, engines=2), [], []
    begun, gate = threading.Semaphore(0), threading.Event()

    def work() -> int:
        running.append(1)
        seen.append(len(running))
        begun.release()
        gate.wait(20)
        running.pop()
        return 7

    async def impatient(number: int) -> list[int | BaseException]:
        soon = time.perf_counter() + 0.2
        return await asyncio.gather(*(decoder.score(work, soon) for _ in range(number)), return_exceptions=True)

    async def patient() -> int:
        return await decoder.score(work, time.perf_counter() + 20)

    late = asyncio.run(impatient(10)) + asyncio.run(impatient(10))
    assert all(isinstance(found, TimeoutError) for found in late)
    assert all(begun.acquire(timeout=20) for _ in range(2))
    assert len(seen) == 2
    gate.set()
    assert asyncio.run(patient()) == 7
    assert max(seen) == 2
    assert len(seen) == 3


def test_the_engine_hears_whose_a_sentence_is_how_urgent_and_until_when(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else it could be neither fair nor in time."""
    claims, submit = list[Claim](), Engine.submit

    def hear(self: Engine[Any], source: list[int], search: SearchConfig, claim: Claim, *guide: Any) -> int:
        claims.append(claim)
        return submit(self, source, search, claim, *guide)

    monkeypatch.setattr(Engine, "submit", hear)
    decoder, until = Decoder(translator, queue_size=8, engines=1), time.perf_counter() + 20
    decoder.start()

    async def both() -> None:
        bulk = decoder.decode([[5, 3]] * 2, SEARCH, until, priority="bulk")
        await asyncio.gather(bulk, decoder.decode([[6, 3]], SEARCH, until))

    asyncio.run(both())
    decoder.stop()

    assert sorted(claim.priority for claim in claims) == ["bulk", "bulk", "interactive"]
    assert len({(claim.request, claim.priority) for claim in claims}) == 2
    assert len({claim.request for claim in claims}) == 2
    assert {claim.deadline for claim in claims} == {until}


def test_a_place_is_until_the_time_is_over(translator: Translator) -> None:
    """By the clock of the engine."""
    decoder = Decoder(translator, queue_size=8, engines=1)
    decoder.start()
    with decoder.admitted(5, 1) as deadline:
        assert 4 < deadline - time.perf_counter() <= 5
    decoder.stop()
