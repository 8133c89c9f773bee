"""Checks that come before any work: sizes and ranges that the settings allow."""

import math
from collections.abc import Sequence

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nmt import SearchConfig, TextHypothesis
from nmt.alignment import Level
from nmt.errors import InputError, TextTooLong
from service.errors import problem
from service.settings import Settings


def check_texts(texts: Sequence[str], settings: Settings, field: str = "text") -> None:
    """Refuse too many texts, and a text that is too long."""
    if not texts:
        raise InputError(f"{field} is an empty list; send at least one text", field)
    if len(texts) > settings.max_texts:
        raise TextTooLong(f"{field} has {len(texts)} entries; send at most {settings.max_texts} at once", field)
    for number, text in enumerate(texts):
        if len(text) > settings.max_characters:
            where = f"{field} {number}" if len(texts) > 1 else field
            raise TextTooLong(
                f"{where} has {len(text)} characters; at most {settings.max_characters} are allowed", field
            )


def check_search(search: SearchConfig, settings: Settings) -> None:
    """Refuse a wider beam than the settings allow."""
    if search.width > settings.max_beam_size:
        raise InputError(
            f"search.beam_size is {search.width}; choose 1 to {settings.max_beam_size}", "search.beam_size"
        )


def check_weights(hypotheses: Sequence[TextHypothesis], levels: Sequence[Level], max_weights: int) -> None:
    """Refuse alignments that would be too large for a reply, before they are made."""
    most = len(levels) * sum(len(own.text) * sum(len(part.source.text) for part in own.parts) for own in hypotheses)
    if most <= max_weights:  # no unit is shorter than a character: there is no need to count them
        return
    count = sum(math.prod(own.alignment_shape(level)) for own in hypotheses for level in levels)
    if count > max_weights:
        raise TextTooLong(
            f"the alignments would have {count} weights, and a reply can have {max_weights}; "
            "send less text at once, or ask for fewer hypotheses, or for alignment none",
            "alignment",
        )


def grouped_references(references: Sequence[str | list[str]], count: int) -> list[list[str]]:
    """References as a list a text. Raises `InputError` when there is not one entry a text."""
    if len(references) != count:
        hint = "; several references of one text go into a list of their own: [[…, …]]" if count == 1 else ""
        raise InputError(
            f"references has {len(references)} entries for {count} texts; one each is wanted{hint}", "references"
        )
    groups = [[entry] if isinstance(entry, str) else entry for entry in references]
    for number, group in enumerate(groups):
        if not group:
            raise InputError(f"references {number} is an empty list; at least one reference is wanted", "references")
    return groups


class BodyLimit:
    """Refuses a request body over the limit while it is read, whatever its headers promise."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then pass it on as one message; 413 when it grows past the limit."""
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

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        detail = f"the request body is over {self._max_bytes} bytes; send less text at once"
        body = {**problem(413, detail), "instance": scope["path"]}
        response = JSONResponse(body, 413, {"Connection": "close"}, media_type="application/problem+json")

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await response(scope, nothing, send)
