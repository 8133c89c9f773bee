"""A service that is asked over HTTP, and what else may answer in its place."""

import json
import time
from collections.abc import Callable

import httpx2
import pytest

from nmt.config import SearchConfig
from nmt.errors import ConfigError, NmtError
from training import remote
from training.remote import translate_remotely

Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer, int], list[str]]:
    """The translations of so many texts by a service that answers so; waiting takes no time."""
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def run(answer: Answer, count: int) -> list[str]:
        made = httpx2.Client(base_url="http://nowhere/", transport=httpx2.MockTransport(answer))
        monkeypatch.setattr(remote, "_client", lambda _: made)
        texts = [f"text {i}" for i in range(count)]
        done, *_ = translate_remotely("http://nowhere", texts, "en", "de", SearchConfig(), aligned=False)
        return [translated.text for translated in done]

    return run


def reply(request: httpx2.Request) -> httpx2.Response:
    """Each text as its own translation."""
    texts = json.loads(request.content)["text"]
    translations = [{"text": text, "hypotheses": [{}]} for text in texts]
    return httpx2.Response(200, json={"model": {"name": "m"}, "translations": translations})


def test_what_is_not_done_in_time_is_asked_for_in_halves(ask: Callable[[Answer, int], list[str]]) -> None:
    """As what is too much at once; a single text that takes too long is told in the words of the service."""

    def slow(request: httpx2.Request) -> httpx2.Response:
        return reply(request) if request.content.count(b"text ") < 4 else httpx2.Response(504, text="send less")

    assert ask(slow, 30) == [f"text {i}" for i in range(30)]
    with pytest.raises(NmtError, match="the service answered 504: send less"):
        ask(lambda _: httpx2.Response(504, text="send less"), 2)


def test_a_service_may_say_by_a_date_when_to_ask_again(ask: Callable[[Answer, int], list[str]]) -> None:
    """As a proxy before it does."""
    busy = [httpx2.Response(503, headers={"Retry-After": when}) for when in ("Wed, 21 Oct 2026 07:28:00 GMT", "2", "")]

    assert ask(lambda request: busy.pop() if busy else reply(request), 1) == ["text 0"]


def test_what_is_no_such_service_is_said(ask: Callable[[Answer, int], list[str]]) -> None:
    """A page to log in, or an address that is none."""
    with pytest.raises(NmtError, match="what answers at http://nowhere/ is no such service: '<html>"):
        ask(lambda _: httpx2.Response(200, text="<html>Log in"), 1)


def test_an_address_that_is_none_is_refused() -> None:
    """With one that is."""
    with pytest.raises(ConfigError, match=r"--url is 'http://localhost:80a0': .*; wanted: such as http://127"):
        translate_remotely("http://localhost:80a0", ["a"], "en", "de", SearchConfig(), aligned=False)
