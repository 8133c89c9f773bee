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
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
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
    members: dict[str, object] = {}
    if isinstance(error, InputError):
        members = _fields({error.field: str(error)})
    elif isinstance(error, QueueFull):
        members = {"type": "overloaded"}
    return problem(STATUS[kind], str(error), **members)


def _fields(problems: Mapping[str, str]) -> dict[str, object]:
    """The members that say which fields are wrong: all of them, and the one if it is one."""
    listed = {"errors": [{"field": field, "problem": message} for field, message in problems.items()]}
    return listed | ({"field": next(iter(problems))} if len(problems) == 1 else {})


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
    all_problems: dict[str, str] = {}
    for found in error.errors():
        if _is_body(found):
            return _reply(request, problem(*_body_problem(found)))
        field, message = _describe(found)
        all_problems[field] = f"{all_problems[field]}, or: {message}" if field in all_problems else message
    # Of a union, the branch that went deeper is the one that was meant.
    problems = {
        field: message
        for field, message in all_problems.items()
        if not any(other.startswith(f"{field}.") for other in all_problems)
    }
    detail = "; ".join(f"{field}: {message}" for field, message in problems.items())
    return _reply(request, problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, **_fields(problems)))


def _is_body(found: Mapping[str, Any]) -> bool:
    """Whether it is about the body as a whole."""
    return found["type"] == "json_invalid" or len(found["loc"]) == 1


def _body_problem(found: Mapping[str, Any]) -> tuple[HTTPStatus, str]:
    wanted = 'send an object such as {"text": "…", "target": "en"}'
    if found["type"] == "json_invalid":
        reason = f"the body is not valid JSON at character {found['loc'][-1]}: {found['ctx']['error']}"
        return HTTPStatus.BAD_REQUEST, reason
    if found["type"] == "missing":
        return HTTPStatus.BAD_REQUEST, f"there is no body; {wanted}"
    return HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is no JSON object; {wanted}"


def _describe(found: Mapping[str, Any]) -> tuple[str, str]:
    """Field and message of one problem. The names of the types of a union are no part of a field."""
    parts = [str(part) for part in found["loc"] if part != "body" and not _UNION_BRANCH.match(str(part))]
    message = found["msg"].removeprefix("Value error, ").replace("valid tuple", "valid list")
    if found["type"] == "extra_forbidden":
        return ".".join(parts), "unknown field; /docs lists those that exist"
    given = found.get("input")
    if (isinstance(given, int | float | bool) or given is None) and found["type"] != "missing":
        message += f", got {json.dumps(given)}"
    return ".".join(parts), message


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the framework found, in words that help more than its own."""
    assert isinstance(error, HTTPException)
    details = {
        HTTPStatus.BAD_REQUEST: "the body cannot be read as JSON; send UTF-8, and an object that is not nested deep",
        HTTPStatus.NOT_FOUND: f"there is no {request.url.path}; /docs lists what there is",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}, but "
        f"{(error.headers or {}).get('Allow', 'another method')}; /docs says what for",
    }
    detail = details.get(HTTPStatus(error.status_code), str(error.detail))
    return _reply(request, problem(error.status_code, detail), error.headers)


async def _unforeseen(request: Request, _error: Exception) -> JSONResponse:
    detail = "the service failed in a way that nobody foresaw; its log says more"
    # The framework answers this outside of all that the app has around it.
    return _reply(request, problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail), HEADERS)
