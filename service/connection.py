"""A request's body, and the end of the work when its client goes away."""

import asyncio
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import SHUTTING_DOWN
from service.errors import problem

_LESS = "send less text at once"


class Connection:
    """Reads a request's body, up to a limit, and lets the work go as soon as nobody waits for the answer any more."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        """seconds: that a body may take to come."""
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, whatever its headers promise, then pass it on as one message.

        413 when it grows too large, 408 when it does not come in time, 415 when it is not said to be JSON.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._max_bytes:
                        await _refuse(scope, send, 413, f"the request body is over {self._max_bytes} bytes; {_LESS}")
                        return
        except TimeoutError:
            await _refuse(scope, send, 408, f"the request body did not come within {self._seconds:g} s; {_LESS}")
            return
        if body and not _is_json(scope):
            await _refuse(scope, send, 415, "the body is not said to be JSON; send Content-Type: application/json")
            return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        if scope["method"] == "HEAD":  # what GET would answer; the server leaves out the body
            scope = {**scope, "method": "GET"}
        if scope["method"] == "POST":
            await self._watched(scope, replay, receive, send)
        else:
            await self._app(scope, replay, send)

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
                    await _refuse(scope, send, 503, SHUTTING_DOWN)
                raise
            task.uncancel()
        finally:
            watcher.cancel()


def _is_json(scope: Scope) -> bool:
    given: bytes = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    return given == b"application/json" or (given.startswith(b"application/") and given.endswith(b"+json"))


async def _refuse(scope: Scope, send: Send, status: int, detail: str) -> None:
    """Answer with a problem, and let the connection end: what is left of the request is not read."""
    body = {**problem(status, detail), "instance": scope["path"]}
    headers = {"Connection": "close"} | ({"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {})
    response = JSONResponse(body, status, headers, media_type="application/problem+json")

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    await response(scope, nothing, send)
