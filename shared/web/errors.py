"""Renders refusals as RFC 9457 problem details, unless an application has its own format.

`application/problem+json` with `type`, `title`, `status`, `detail`, `code`, and for refused fields `errors` with the
path of each, dotted from the body's root: `posts.0.value.1.content`. If a browser requests a route that answers HTML, the
refusal is HTML too.
"""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import Field
from pydantic.fields import FieldInfo
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException
from starlette.routing import Match

from shared.core.errors import (
    AppError,
    FieldProblem,
    InvalidInput,
    TooManyRequests,
    Unavailable,
    Unreadable,
)
from shared.core.errors_report import report
from shared.core.log import REDACTED, log, names_a_secret
from shared.core.phrases import phrase_of
from shared.core.sentences import field_at, sentence
from shared.core.wire import WireModel
from shared.db.session import Clashed
from shared.db.wire import sqlstate_of
from shared.web.bodies import is_json
from shared.web.html import refusal_page
from shared.web.paths import answers_head

PROBLEM_JSON = "application/problem+json"
Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]
_NO_CODE: Mapping[int, str] = {404: "no_such_route", 405: "method_not_allowed"}
# Our own codes for common refusals; the others keep the names that Pydantic documents.
_CODES = {
    "missing": "missing",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "value_error": "invalid",
    "string_unicode": "invalid",
}
# The text of an HTML page instead of the refused parameters, because a person who opens a link did not write its address.
_NOT_WHOLE = (
    "This link is incomplete or was altered. Open the complete link again, or request a new one "
    "where you got it."
)
_UNREADABLE = "The body does not match its `Content-Type`. Send valid JSON or a valid form."


class ProblemField(WireModel):
    """One refused field."""

    path: str = Field(examples=["posts.0.value.1.content"])
    code: str = Field(examples=["too_long"])
    message: str = Field(examples=["At most 500 characters."])


class Problem(WireModel):
    """A refusal with its reason."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["Some fields were refused."])
    code: str = Field(examples=["invalid_input"])
    errors: list[ProblemField] | None = None
    incident: str | None = Field(default=None, description="The id to quote when asking for help.")
    methods: list[str] | None = Field(
        default=None,
        description="403 `fresh_login_needed`: by which the caller can confirm their identity.",
        examples=[["password", "github"]],
    )
    role: str | None = Field(default=None, description="403: the role that would be enough.")
    section: str | None = Field(
        default=None,
        description="402: what the plan limits. The next six are also of a 402.",
        examples=["posts_per_month"],
    )
    action: str | None = Field(default=None, examples=["create"])
    limit: int | None = Field(default=None, description="How many the plan includes.")
    used: int | None = Field(default=None, description="How many of them are used.")
    plan: str | None = Field(default=None, description="The current plan.", examples=["STANDARD"])
    needed_plan: str | None = Field(
        default=None, description="The smallest plan that would be enough.", examples=["TEAM"]
    )
    url: str | None = Field(default=None, description="Where the plan can be changed.")


class NoSuchRoute(AppError):
    """The path does not exist, or not with this method."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.answer = status
        self.headers = headers


class Unexpected(AppError):
    """An unanticipated error. Its details are in the log, under the incident's id."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "unexpected"

    def __init__(self, incident: str) -> None:
        super().__init__(
            "Something went wrong on our side. Try again. If it keeps failing, "
            "report the incident id."
        )
        self.incident = incident


Render = Callable[[AppError], Response]
"""Renders a refusal of an application."""


class BodyTooLarge(AppError):
    """The body exceeds the route's limit."""

    status: ClassVar[int] = 413
    code: ClassVar[str] = "body_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than {max_bytes:,} bytes. Send a smaller one.")


class HeadersTooLarge(AppError):
    """The headers exceed the limit."""

    status: ClassVar[int] = 431
    code: ClassVar[str] = "headers_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The headers are larger than {max_bytes:,} bytes. Send fewer or shorter ones; in a browser, delete the "
            "cookies of this site."
        )


def problem_response(error: AppError) -> Response:
    """Render a refusal as problem details."""
    status, code, headers = error.status, error.code, headers_of(error)
    if isinstance(error, NoSuchRoute):
        status, code = error.answer, _NO_CODE.get(error.answer, "refused")
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase_of(status),
        "status": status,
        "detail": error.message,
        "code": code,
    }
    if error.problems:
        body["errors"] = [
            {"path": each.path, "code": each.code, "message": each.message}
            for each in error.problems
        ]
    if isinstance(error, Unexpected):
        body["incident"] = error.incident
    return Response(
        json.dumps({**error.details, **body}), status, headers=headers, media_type=PROBLEM_JSON
    )


# A paused cluster needs some 15 s to resume, most of which the first caller has already waited.
TRY_AGAIN_SECONDS = 10


def headers_of(error: AppError) -> dict[str, str]:
    """Return a refusal's headers for any body format."""
    if isinstance(error, NoSuchRoute):
        return dict(error.headers)
    if isinstance(error, TooManyRequests):
        return {"retry-after": str(error.retry_after_seconds)}
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"retry-after": str(TRY_AGAIN_SECONDS)}
    if error.status == HTTPStatus.UNAUTHORIZED:
        return {"www-authenticate": 'Session realm="roost", Bearer realm="roost"'}
    return {}


def unexpected(error: Exception, *, method: str, path: str) -> Unexpected:
    """Report an unanticipated error, and return the error for the caller."""
    return Unexpected(report(error, method=method, path=path))


def add_handlers(app: FastAPI, render: Render = problem_response) -> None:
    """Make `app` render every error with `render`."""

    def telling(read: Callable[[Request, Exception], AppError]) -> Handler:
        async def handle(request: Request, error: Exception) -> Response:
            refusal = read(request, error)
            if _wants_page(request):
                if isinstance(error, RequestValidationError) and request.method == "GET":
                    refusal = InvalidInput(_NOT_WHOLE)
                return refusal_page(refusal, headers=headers_of(refusal))
            return render(refusal)

        return handle

    for kind, read in _READERS.items():
        app.add_exception_handler(kind, telling(read))


def path_of(request: Request) -> str:
    """Return a request's path for the log, without an API key in it."""
    path = request.url.path
    for name, value in request.path_params.items():
        if names_a_secret(name):
            path = path.replace(str(value), REDACTED)
    return path


def _refused(request: Request, error: Exception) -> AppError:
    assert isinstance(error, AppError)
    if isinstance(error, Clashed) and getattr(request.state, "repeatable", False):
        raise error  # `Edge` runs the request again
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request.failed", extra={"code": error.code, "detail": error.message})
    elif error.status == HTTPStatus.FORBIDDEN:
        log.info("request.refused", extra={"code": error.code})
    return error


def _invalid(request: Request, error: Exception) -> AppError:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    for each in found:
        if each["type"] == "json_invalid" or each["loc"] == ("body",):
            return Unreadable(_why_unreadable(request, each))
    problems = [_field_problem(request, each) for each in found]
    return InvalidInput("Some fields were refused.", problems=problems)


def _http(request: Request, error: Exception) -> AppError:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return Unreadable(_UNREADABLE)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = _methods_of(request)
    return NoSuchRoute(error.status_code, str(error.detail), headers)


def _methods_of(request: Request) -> str:
    """List the methods of a path; the framework lists only those of the first route."""
    methods = {
        method
        for route in request.app.router.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }
    if "GET" in methods and answers_head(request.scope["path"]):
        methods.add("HEAD")
    return ", ".join(sorted(methods))


# The database's shortages, by SQLSTATE.
_LACKS = {
    "53100": (
        "The database's disk is full, so nothing was stored. Ask the operator of this "
        "server to free space."
    ),
    "53200": "The database is out of memory. Try again in a moment.",
    "53300": "The database has no free connections. Try again in a moment.",
}


def _no_database(request: Request, error: Exception) -> AppError:
    report(error, method=request.method, path=path_of(request))
    state = sqlstate_of(error) if isinstance(error, DBAPIError) else ""
    return Unavailable(
        _LACKS.get(state, "The database does not answer. Try again in a moment."),
    )


def _database(request: Request, error: Exception) -> AppError:
    assert isinstance(error, DBAPIError)
    if error.connection_invalidated:
        return _no_database(request, error)
    raise error


_READERS: dict[type[Exception], Callable[[Request, Exception], AppError]] = {
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
        return (
            f"The body is not valid JSON: {why}, at character {found['loc'][-1]}. Correct it "
            "and send it again."
        )
    if not is_json(request.headers.get("content-type", "")):
        return "The body is not JSON. Send it with the header `Content-Type: application/json`."
    return "The body is not a JSON object. Send one."


def _field_problem(request: Request, found: Mapping[str, Any]) -> FieldProblem:
    where, *path = found["loc"]
    dotted = ".".join(str(part) for part in path) or str(where)
    kind = found["type"]
    message = sentence(found, _field(request, str(where), path))
    return FieldProblem(dotted, _CODES.get(kind, kind), message)


def _field(request: Request, where: str, path: Sequence[str | int]) -> FieldInfo | None:
    """Find the route's definition of a field of its body or of a parameter."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return None
    if where == "body" and route.body_field:
        return field_at(route.body_field.field_info.annotation, path)
    of_route = route.dependant
    groups = {
        "query": of_route.query_params,
        "path": of_route.path_params,
        "header": of_route.header_params,
        "cookie": of_route.cookie_params,
    }
    parameters = {parameter.alias: parameter.field_info for parameter in groups.get(where, ())}
    return parameters.get(str(path[0])) if path else None


def _wants_page(request: Request) -> bool:
    """Return whether a browser has opened a route that answers HTML, such as a link from an email."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.response_class is not HTMLResponse:
        return False
    liked = _accepted(request.headers.get("accept", ""))
    html = liked.get("text/html", 0.0)
    return html > 0 and html >= max(
        liked.get("application/json", 0.0), liked.get(PROBLEM_JSON, 0.0)
    )


def _accepted(header: str) -> dict[str, float]:
    """Read an `Accept` header: the weight of each type, from 0 to 1; an unreadable one is 0."""
    liked: dict[str, float] = {}
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            liked[kind] = float(weight)
        except ValueError:
            liked[kind] = 0.0
    return liked
