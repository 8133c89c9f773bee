"""A request's body, and the end of the work when its client goes away."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import SHUTTING_DOWN
from service.errors import problem

_LESS = "send less text at once"
_MOST_OF_HEADERS = 16 * 1024
_ALIVE = "/livez"  # which asks nothing else of the service


class Connection:
    """Reads a request's body, up to a limit, and lets the work go as soon as nobody waits for the answer any more."""

    def __init__(
        self, app: ASGIApp, max_bytes: int, seconds: float, ending: Callable[[], bool] = lambda: False
    ) -> None:
        """seconds: that a body may take to come · ending: whether no more requests are taken."""
        self._app, self._max_bytes, self._seconds, self._ending = app, max_bytes, seconds, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then pass it on as one message.

        431 for headers that are too large, 413 for a body that is, or says that it will be, 408 when it does not come
        in time, 415 when it is packed or not said to be JSON, 503 when the server ends, or does before it has come.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._ending() and not scope["path"].endswith(_ALIVE):
            await _refuse(scope, send, HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
            return
        try:
            body = await self._read(scope, receive)
        except _RefusedError as refused:
            await _refuse(scope, send, *refused.args)
            return
        except asyncio.CancelledError:
            await _refuse(scope, send, HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
            raise
        if body is None:
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        if scope["method"] == "HEAD":  # what GET would answer; the server leaves out the body
            scope = {**scope, "method": "GET"}
        if scope["method"] == "POST":
            await self._watched(scope, replay, receive, send)
        else:
            await self._app(scope, replay, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, or None if the client has gone."""
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > _MOST_OF_HEADERS:
            raise _RefusedError(431, f"the headers have over {_MOST_OF_HEADERS} bytes; send fewer or shorter ones")
        too_large = _RefusedError(413, f"the request body is over {self._max_bytes} bytes; {_LESS}")
        if int(headers.get("content-length", 0)) > self._max_bytes:
            raise too_large
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._max_bytes:
                        raise too_large
        except TimeoutError:
            raise _RefusedError(408, f"the request body did not come within {self._seconds:g} s; {_LESS}") from None
        if body and not _is_json(headers):
            raise _RefusedError(415, "the body is not said to be JSON; send Content-Type: application/json")
        if body and (packed := headers.get("content-encoding", "identity")) != "identity":
            raise _RefusedError(415, f"the body is said to be packed, as {packed!r}; send it as it is")
        return bytes(body)

    async def _watched(self, scope: Scope, replay: Receive, receive: Receive, send: Send) -> None:
        """Cancel the answer when the client goes away before it has it."""
        task, begun, answered, gone = asyncio.current_task(), False, False, False
        assert task

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            if not answered:
                gone = True
                task.cancel()

        async def send_and_see(message: Message) -> None:
            nonlocal begun, answered
            begun = True
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        watcher = asyncio.create_task(watch())
        try:
            await self._app(scope, replay, send_and_see)
        except asyncio.CancelledError:
            if not gone:  # the server ends, and has waited for this as long as it may
                if not begun:
                    await _refuse(scope, send, HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
                raise
            task.uncancel()
        finally:
            watcher.cancel()


class _RefusedError(Exception):
    """A status, and why."""


def _is_json(headers: Headers) -> bool:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    return given == "application/json" or (given.startswith("application/") and given.endswith("+json"))


async def _refuse(scope: Scope, send: Send, status: int, detail: str) -> None:
    """Answer with a problem, and let the connection end: what is left of the request is not read."""
    body = {**problem(status, detail), "instance": scope["path"]}
    headers = {"Connection": "close"} | ({"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {})
    response = JSONResponse(body, status, headers, media_type="application/problem+json")

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    await response(scope, nothing, send)
