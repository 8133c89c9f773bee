"""A line of the log for each request."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
_LONGEST_PATH = 100


class AccessLog:
    """Method, path, status and duration; never what stands behind a `?` or in a body: that may be somebody's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, outcome = time.perf_counter(), "no answer: the client has gone"

        async def send_and_note(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            outcome = "500"  # is answered outside of this
            raise
        finally:
            path = scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH]
            milliseconds = 1000 * (time.perf_counter() - began)
            _log.info("%s %s %s in %.1f ms", scope["method"], path, outcome, milliseconds)
