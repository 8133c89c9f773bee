"""Every error as RFC 9457 problem+json: one table from exceptions to statuses."""

import json
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nmt.errors import (
    ConfigError,
    DeadlineExceeded,
    EngineError,
    EngineStopped,
    InputError,
    ModelFolderError,
    NmtError,
    QueueFull,
    TextTooLong,
    UnknownLanguage,
)
from service.security import HEADERS

_UNION_BRANCH = re.compile(r"str$|list\[|function-")


class UnknownModel(InputError):
    """A request names a model that is not served."""


STATUS: dict[type[NmtError], HTTPStatus] = {
    UnknownLanguage: HTTPStatus.NOT_FOUND,
    UnknownModel: HTTPStatus.NOT_FOUND,
    TextTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    EngineStopped: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelFolderError: HTTPStatus.SERVICE_UNAVAILABLE,
    NmtError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The most special class that fits decides."""


_EVERYWHERE = [HTTPStatus.SERVICE_UNAVAILABLE]
_OF_REQUESTS = [
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    *dict.fromkeys(status for status in STATUS.values() if status != HTTPStatus.INTERNAL_SERVER_ERROR),
]


def described(router: APIRouter) -> dict[int | str, dict[str, Any]]:
    """The errors of a router's replies, for the description of the API."""
    posts = any("POST" in (getattr(route, "methods", None) or ()) for route in router.routes)
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemReply"}}}
    statuses = _OF_REQUESTS if posts else _EVERYWHERE
    return {int(status): {"description": status.phrase, "content": schema} for status in statuses}


def problem(status: int, detail: str, **members: object) -> dict[str, Any]:
    """The body of an error. `error` repeats the text for clients that know no problem+json."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error": detail,
        **members,
    }


def problem_of(error: NmtError) -> dict[str, Any]:
    """The body for one of our own exceptions."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    members = {"field": error.field} if isinstance(error, InputError) else {}
    return problem(STATUS[kind], str(error), **members)


def install(app: FastAPI) -> None:
    """Answer every error with a problem: ours, the framework's, and what nobody foresaw."""
    app.add_exception_handler(NmtError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _reply(request: Request, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = {**body, "instance": request.url.path}
    return JSONResponse(body, body["status"], headers, media_type="application/problem+json")


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NmtError)
    body = problem_of(error)
    wait = error.retry_after_seconds if isinstance(error, QueueFull) else 1.0
    retriable = body["status"] in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    return _reply(request, body, {"Retry-After": str(math.ceil(wait))} if retriable else None)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What pydantic found: which field, what is wrong; never the text itself."""
    assert isinstance(error, RequestValidationError)
    problems: dict[str, str] = {}
    for found in error.errors():
        field, message = _describe(found)
        problems[field] = f"{problems[field]}, or: {message}" if field in problems else message
    malformed = any(found["type"] == "json_invalid" for found in error.errors())
    status = HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY
    detail = "; ".join(f"{field}: {message}" if field else message for field, message in problems.items())
    listed = [{"field": field, "problem": message} for field, message in problems.items()]
    return _reply(request, problem(status, detail, errors=listed))


def _describe(found: Mapping[str, Any]) -> tuple[str, str]:
    """Field and message of one problem. The names of the types of a union are no part of a field."""
    if found["type"] == "json_invalid":
        return "", f"the body is not valid JSON at character {found['loc'][-1]}: {found['ctx']['error']}"
    if len(found["loc"]) == 1:
        return "", 'the body is no JSON object; send one such as {"text": "…", "target": "en"}'
    parts = [str(part) for part in found["loc"] if part != "body" and not _UNION_BRANCH.match(str(part))]
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        message = "unknown field; /docs lists those that exist"
    given = found.get("input")
    if isinstance(given, int | float | bool) or given is None:
        message += f", got {json.dumps(given)}"
    return ".".join(parts), message


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _reply(request, problem(error.status_code, str(error.detail)), error.headers)


async def _unforeseen(request: Request, _error: Exception) -> JSONResponse:
    detail = "the service failed in a way that nobody foresaw; its log says more"
    # The framework answers this outside of all that the app has around it.
    return _reply(request, problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail), HEADERS)
