"""The line of the log for each request."""

import asyncio
import logging
import re
from typing import Any

import pytest

from service.access_log import AccessLog

SCOPE = {"type": "http", "method": "GET", "raw_path": b"/translate", "query_string": b"text=secret"}


def logged(caplog: pytest.LogCaptureFixture, app: Any, **scope: Any) -> str:
    """What the log says of a request that the app answers."""

    async def nowhere(*_: Any) -> None: ...

    with caplog.at_level(logging.INFO):
        asyncio.run(AccessLog(app)({**SCOPE, **scope}, nowhere, nowhere))
    return caplog.messages[-1]


def test_a_line_has_method_path_status_and_duration(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing that could be anybody's text."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 405})

    assert re.fullmatch(r"GET /translate 405 in \d+\.\d ms", logged(caplog, app))
    assert len(logged(caplog, app, raw_path=b"/" + b"a" * 5000)) < 150


def test_a_client_that_has_gone_is_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """With how long it had waited."""

    async def app(*_: Any) -> None: ...

    assert re.fullmatch(r"GET /translate no answer: the client has gone in \d+\.\d ms", logged(caplog, app))


def test_what_breaks_is_logged_as_500(caplog: pytest.LogCaptureFixture) -> None:
    """Though the answer is made outside."""

    async def app(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        logged(caplog, app)
    assert " 500 in " in caplog.messages[-1]
