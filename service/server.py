"""The server, and how it ends."""

import asyncio
import socket
import time

import uvicorn
from fastapi import FastAPI

_LONGEST = 25.0
"""Seconds that accepted work may take when the server is to end; who started it waits for 30, as a rule."""


class Server(uvicorn.Server):
    """Which, when it is to end, says so until what it has accepted is done.

    A connection that is refused would tell clients, and what shares out the work among copies, less than 503 does.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        config = uvicorn.Config(
            app,
            # The other one gives up a request that offers to change the protocol, as Java's client does, and takes its
            # body for the next request.
            http="h11",
            ws="none",
            log_config=None,
            log_level="error",  # it would warn of each such offer, and advise to install something
            access_log=False,
            timeout_graceful_shutdown=1,  # for the answers to what came last; the rest has had its time before
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer 503 from now on, wait for the accepted requests, and no longer listen then."""
        self._app.state.ending = True
        accepted, until = set(self.server_state.tasks), time.monotonic() + _LONGEST
        while accepted & self.server_state.tasks and not self.force_exit and time.monotonic() < until:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
