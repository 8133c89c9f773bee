"""Requests that several decode threads share."""

import asyncio
from pathlib import Path

import pytest

from nmt import SearchConfig, Translator
from nmt.errors import EngineError
from service.engine import Decoder

SEARCH = SearchConfig(max_length=12)


def decode(decoder: Decoder, counts: list[int]) -> list[list[list[int]]]:
    """The best hypotheses of requests with that many sources, all under way at once."""

    async def all_at_once() -> list[list[list[int]]]:
        requests = (decoder.decode([[5 + i, 6 + i % 7, 3] for i in range(count)], SEARCH, 20) for count in counts)
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
        asyncio.run(decoder.decode([[5, 3], [10**6, 3]], SEARCH, 20))

    assert "a decode step failed" in caplog.text
    assert len(decode(decoder, [4])[0]) == 4
    decoder.stop()
