"""What stands between a connection and the app."""

import asyncio
from typing import Any

import pytest

from service.connection import Connection

SCOPE = {"type": "http", "method": "POST", "path": "/"}
BODY = {"type": "http.request", "body": b"x", "more_body": False}


def run(app: Any, *messages: dict[str, Any], method: str = "POST") -> list[dict[str, Any]]:
    """What the app sends to a client that sends these messages, and then nothing more."""
    sent: list[dict[str, Any]] = []

    async def once() -> None:
        waiting = list(messages)

        async def receive() -> Any:
            return waiting.pop(0) if waiting else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(Connection(app, max_bytes=8)({**SCOPE, "method": method}, receive, send), 5)

    asyncio.run(once())
    return sent


async def answer(send: Any) -> None:
    """A whole reply."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"y"})


def test_a_client_that_goes_away_ends_the_work() -> None:
    """At once, wherever it waits; and nothing is sent to nobody."""
    ended = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        assert (await receive())["body"] == b"x"
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    assert run(app, BODY, {"type": "http.disconnect"}) == []
    assert ended == [True]


def test_a_client_that_goes_away_with_its_answer_breaks_nothing_off() -> None:
    """What comes after the reply is done as well."""
    done = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send)
        await asyncio.sleep(0.01)
        done.append(True)

    sent = run(app, BODY, {"type": "http.disconnect"})
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert done == [True]


def test_whoever_else_cancels_is_heard() -> None:
    """As a server that is shutting down."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(app, BODY)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_body_in_parts_arrives_whole_or_is_refused(method: str) -> None:
    """Whatever its headers promise."""
    seen = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        await answer(send)

    parts = [{"type": "http.request", "body": b"abcd", "more_body": True}] * 2
    small = run(app, parts[0], {"type": "http.request", "body": b"e"}, method=method)
    large = run(app, *parts, BODY, method=method)

    assert [message["body"] for message in seen] == [b"abcde"]
    assert (small[0]["status"], large[0]["status"]) == (200, 413)
