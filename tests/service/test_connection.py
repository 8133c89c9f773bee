"""What stands between a connection and the app."""

import asyncio
from typing import Any

import pytest

from service.connection import Connection

JSON = [(b"content-type", b"application/json; charset=utf-8")]
SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": JSON}
BODY = {"type": "http.request", "body": b"x", "more_body": False}


def run(app: Any, *messages: dict[str, Any], seconds: float = 60, **scope: Any) -> list[dict[str, Any]]:
    """What the app sends to a client that sends these messages, and then nothing more."""
    sent: list[dict[str, Any]] = []

    async def once() -> None:
        waiting = list(messages)

        async def receive() -> Any:
            return waiting.pop(0) if waiting else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(Connection(app, max_bytes=8, seconds=seconds)({**SCOPE, **scope}, receive, send), 5)

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


@pytest.mark.parametrize("begun", [False, True])
def test_whoever_else_cancels_is_heard_and_the_client_told(begun: bool) -> None:
    """As a server that is shutting down; what has begun to answer is not answered twice."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200})
        raise asyncio.CancelledError

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return BODY if not sent else await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Connection(app, max_bytes=8, seconds=5)(SCOPE, receive, send))
    assert sent[0]["status"] == (200 if begun else 503)
    assert len(sent) == (1 if begun else 2)
    assert begun or (b"retry-after", b"1") in sent[0]["headers"]


def test_a_server_that_ends_tells_whoever_is_still_sending() -> None:
    """503, before it goes."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Connection(answer, max_bytes=8, seconds=5)(SCOPE, receive, send))
    assert sent[0]["status"] == 503


@pytest.mark.parametrize(
    ("header", "status", "detail"),
    [
        ((b"content-length", b"9"), 413, b"the request body is over 8 bytes"),
        ((b"x", b"y" * 16384), 431, b"the headers have over 16384 bytes"),
    ],
)
def test_what_the_headers_say_is_too_much_is_not_waited_for(
    header: tuple[bytes, bytes], status: int, detail: bytes
) -> None:
    """It is refused before a byte of the body has come."""
    sent = run(answer, headers=[*JSON, header])

    assert sent[0]["status"] == status
    assert detail in sent[1]["body"]


def test_a_packed_body_is_refused() -> None:
    """With what is wanted; the app would say that it is no JSON."""
    sent = run(answer, BODY, headers=[*JSON, (b"content-encoding", b"gzip")])

    assert sent[0]["status"] == 415
    assert b"said to be packed, as 'gzip'; send it as it is" in sent[1]["body"]


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """408, and the connection ends."""
    sent = run(answer, {"type": "http.request", "body": b"a", "more_body": True}, seconds=0.01)

    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("given", [[], [(b"content-type", b"text/plain")], [(b"content-type", b"application/x-www")]])
def test_a_body_that_is_not_said_to_be_json_is_refused(given: list[tuple[bytes, bytes]]) -> None:
    """With the header that is wanted; the app would say that it is no object."""
    sent = run(answer, BODY, headers=given)

    assert sent[0]["status"] == 415
    assert b"send Content-Type: application/json" in sent[1]["body"]


def test_head_is_what_get_would_answer() -> None:
    """The server leaves out the body."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["method"] == "GET"
        await answer(send)

    assert run(app, {"type": "http.request"}, method="HEAD")[0]["status"] == 200


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
