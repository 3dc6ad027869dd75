"""How a refusal is told: RFC 9457 problem details, whatever went wrong.

`application/problem+json` with `type`, `title`, `status`, `detail`, `code`, and for refused fields `errors` with the
path of each, dotted from the body's root: `posts.0.value.1.content`.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException

from shared.core.errors import (
    AppError,
    FieldProblem,
    InvalidInput,
    TooManyRequests,
    Unavailable,
    Unreadable,
)
from shared.core.errors_report import report
from shared.core.log import log
from shared.core.wire import WireModel

PROBLEM_JSON = "application/problem+json"
_NO_CODE: Mapping[int, str] = {404: "no_such_route", 405: "method_not_allowed"}
# Names of our own for the refusals that everybody meets; the others keep the names that Pydantic documents.
_CODES = {
    "missing": "missing",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "value_error": "invalid",
    "string_unicode": "invalid",
}
_UNREADABLE = "The body is not JSON, or not the shape of this request."


class ProblemField(WireModel):
    """One refused field."""

    path: str = Field(examples=["posts.0.value.1.content"])
    code: str = Field(examples=["too_long"])
    message: str = Field(examples=["At most 500 characters."])


class Problem(WireModel):
    """What was refused, and why."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["Some fields were refused."])
    code: str = Field(examples=["invalid_input"])
    errors: list[ProblemField] | None = None
    incident: str | None = Field(default=None, description="What to quote when asking for help.")


class BodyTooLarge(AppError):
    """The body is larger than any request of this route."""

    status: ClassVar[int] = 413
    code: ClassVar[str] = "body_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body may have at most {max_bytes:,} bytes.")


def problem_response(error: AppError) -> Response:
    """Render an anticipated failure."""
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        headers["retry-after"] = str(error.retry_after_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Session realm="roost", Bearer realm="roost"'
    return _render(
        error.status, error.code, error.message, problems=error.problems, headers=headers
    )


def unexpected_response(error: Exception, *, method: str, path: str) -> Response:
    """Render a failure that nobody anticipated: its details stay in the log, under the incident's id."""
    incident = report(error, method=method, path=path)
    detail = "Something went wrong on our side. If it stays so, tell us the incident."
    return _render(500, "unexpected", detail, incident=incident)


def add_handlers(app: FastAPI) -> None:
    """Make `app` answer every failure with a problem document."""
    for kind, handle in _HANDLERS.items():
        app.add_exception_handler(kind, handle)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request.failed", extra={"code": error.code, "detail": error.message})
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    for each in found:
        if each["type"] == "json_invalid" or each["loc"] == ("body",):
            return problem_response(Unreadable(_why_unreadable(request, each)))
    problems = [_field_problem(each) for each in found]
    return problem_response(InvalidInput("Some fields were refused.", problems=problems))


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return problem_response(Unreadable(_UNREADABLE))
    code = _NO_CODE.get(error.status_code, "refused")
    return _render(error.status_code, code, str(error.detail), headers=error.headers or {})


async def _no_database(request: Request, error: Exception) -> Response:
    report(error, method=request.method, path=request.url.path)
    return problem_response(Unavailable("The database does not answer. Try again in a moment."))


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    if error.connection_invalidated:
        return await _no_database(request, error)
    raise error


_HANDLERS: dict[type[Exception], Any] = {
    AppError: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http,
    InterfaceError: _no_database,
    OperationalError: _no_database,
    NoConnectionFree: _no_database,
    DBAPIError: _database,
}


def _why_unreadable(request: Request, found: Mapping[str, Any]) -> str:
    if found["type"] == "json_invalid":
        why = found.get("ctx", {}).get("error", "it cannot be read")
        return f"The body is not JSON: {why}, at character {found['loc'][-1]}."
    if "json" not in request.headers.get("content-type", ""):
        return "Send a body of JSON, with the header `Content-Type: application/json`."
    return "Send a JSON object as the body."


def _field_problem(found: Mapping[str, Any]) -> FieldProblem:
    where, *path = found["loc"]
    dotted = ".".join(str(part) for part in path) or str(where)
    kind = found["type"]
    message = found["msg"].removeprefix("Value error, ")
    return FieldProblem(dotted, _CODES.get(kind, kind), message)


def _render(
    status: int,
    code: str,
    detail: str,
    *,
    problems: Sequence[FieldProblem] = (),
    incident: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if problems:
        body["errors"] = [
            {"path": each.path, "code": each.code, "message": each.message} for each in problems
        ]
    if incident:
        body["incident"] = incident
    return Response(json.dumps(body), status, headers=dict(headers or {}), media_type=PROBLEM_JSON)
