"""A request's body, and the end of the work when its client goes away."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import problem


class Connection:
    """Reads a request's body, up to a limit, and lets the work go as soon as nobody waits for the answer any more."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, whatever its headers promise, then pass it on as one message; 413 when it grows too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                await self._refuse(scope, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        if scope["method"] == "POST":
            await self._watched(scope, replay, receive, send)
        else:
            await self._app(scope, replay, send)

    async def _watched(self, scope: Scope, replay: Receive, receive: Receive, send: Send) -> None:
        """Cancel the answer when the client goes away before it has it."""
        task, answered, gone = asyncio.current_task(), False, False
        assert task

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            if not answered:
                gone = True
                task.cancel()

        async def send_and_see(message: Message) -> None:
            nonlocal answered
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        watcher = asyncio.create_task(watch())
        try:
            await self._app(scope, replay, send_and_see)
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
        finally:
            watcher.cancel()

    async def _refuse(self, scope: Scope, send: Send) -> None:
        detail = f"the request body is over {self._max_bytes} bytes; send less text at once"
        body = {**problem(413, detail), "instance": scope["path"]}
        response = JSONResponse(body, 413, {"Connection": "close"}, media_type="application/problem+json")

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await response(scope, nothing, send)
