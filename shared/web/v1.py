"""Renders the public API's refusals and describes them in its document.

Its bodies are a contract with existing programs: `{"msg"}` or `{"message"}`, a sentence or, for refused fields, a list. A
body has both names, because clients read either, and `errors` with paths and codes for newer clients. It is always JSON.
"""

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field

from shared.access.errors import NoApiKey, UnknownApiKey, UnknownGrant
from shared.access.give_back import give_back
from shared.access.policy import Quota, Rule
from shared.channels.errors import ChannelNotFound
from shared.core.config import settings
from shared.core.errors import (
    AppError,
    InvalidInput,
    PlanLimit,
    TooManyRequests,
    Unauthenticated,
    Unreadable,
)
from shared.core.phrases import phrase_of
from shared.core.unknown_fields import MOST_NAMED
from shared.core.wire import WireModel
from shared.db.session import unit_of_work
from shared.organizations.idempotency import watching_for_a_replay
from shared.public_api.errors import Refused
from shared.public_api.warnings import of_unknown_fields
from shared.public_api.wording import rule_of
from shared.web.deps import credentials_of, unknown_fields_of
from shared.web.errors import NoSuchRoute, ProblemField, Unexpected, headers_of
from shared.web.forms import FormRequest
from shared.web.routing import Route, Router

MESSAGES = {
    NoApiKey: "No API Key found",
    UnknownApiKey: "Invalid API key",
    UnknownGrant: "Invalid OAuth token",
    ChannelNotFound: "Integration not found",
}
# Example answers for each status that a route documents.
_EXAMPLES = {
    400: "date should not be null or undefined",
    401: "Invalid API key",
    402: "The plan allows no more posts this month.",
    403: "This API key is read-only. Use a key with the `write` scope.",
    404: "Integration not found",
    409: "This post, or a part of it, is already published.",
    413: "The body is larger than 2,097,152 bytes. Send a smaller one.",
    429: "ThrottlerException: Too Many Requests",
    500: "Internal server error",
    503: "The database does not answer. Try again in a moment.",
}
TOO_MANY = "ThrottlerException: Too Many Requests"
UNEXPECTED = "Internal server error"


class PublicProblem(WireModel):
    """A refusal with its reason."""

    model_config = ConfigDict(extra="allow")

    message: str | list[str] = Field(examples=["Invalid API key"])
    msg: str = Field(examples=["Invalid API key"])
    status_code: int = Field(examples=[401])
    error: str | None = Field(default=None, examples=["Bad Request"])
    errors: list[ProblemField] | None = None


async def _note_unknown_fields(request: Request) -> None:
    """Find the unknown fields of a body before anything is done, so that nothing can fail after the commit."""
    _, request.state.unknown_fields = await unknown_fields_of(request, most=MOST_NAMED + 1)


class PublicRoute(Route):
    """A route of the public API, whose refusals are documented in its own format."""

    leaves_unknown_fields = True

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        noted = Depends(_note_unknown_fields)
        options["dependencies"] = [*(options.get("dependencies") or ()), noted]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """List a body's unknown fields in the answer's headers, because they are accepted but ignored."""
        handle = super().get_route_handler()

        async def run(received: Request) -> Response:
            request = FormRequest(received.scope, received.receive)
            try:
                with watching_for_a_replay() as replay:
                    response = await handle(request)
            except (AppError, RequestValidationError) as error:
                if not isinstance(error, Unauthenticated):
                    self._give_back(request)
                raise
            if replay.happened:
                self._give_back(request)
            for value in of_unknown_fields(getattr(request.state, "unknown_fields", ())):
                response.headers.append("warning", value)
            return response

        return run

    def _give_back(self, request: Request) -> None:
        """Subtract a call that created nothing from the rate limit."""
        rate, key = self.rule.rate, credentials_of(request).api_key
        # A prefetch or a body that is not JSON is refused before the call is counted, and a call over the limit is not counted:
        # there is nothing to subtract.
        counted = getattr(request.state, "counted", False)
        if not (rate and rate.rolling and key and counted):
            return
        with unit_of_work() as session:
            calls = give_back(session, key, rate)
        quota: Quota | None = getattr(request.state, "quota", None)
        if quota and calls is not None:
            request.state.quota = replace(quota, remaining=max(0, rate.allowed - calls))

    @staticmethod
    def documented(method: str, rule: Rule) -> dict[int | str, dict[str, Any]]:
        """Describe each status that the route may refuse with."""
        statuses = {400, 401, 403, 404, 429, 500, 503}
        if method != "GET":
            statuses |= {409, 413}
        if rule.needs_plan:
            statuses.add(402)
        return {
            status: {
                "model": PublicProblem,
                "description": phrase_of(status),
                "content": {"application/json": {"example": _example_of(status)}},
            }
            for status in sorted(statuses)
        }


def _example_of(status: int) -> dict[str, Any]:
    """Return an example body of a refusal with a status."""
    words = _EXAMPLES[status]
    body: dict[str, Any] = {"message": words, "msg": words, "statusCode": status}
    if status == HTTPStatus.BAD_REQUEST:
        body["message"], body["error"] = [words], HTTPStatus.BAD_REQUEST.phrase
        problem = {"path": "date", "code": "missing", "message": "Date is required."}
        body["errors"] = [problem]
    return body


def public_router() -> Router:
    """Make the router of the public API."""
    return Router(prefix="/public/v1", tags=["Public API"], route_class=PublicRoute)


def public_response(error: AppError) -> Response:
    """Render a refusal as the public API does."""
    status, body = _public_body(error)
    message = body["message"]
    body.setdefault("msg", message if isinstance(message, str) else "; ".join(message))
    body.setdefault("statusCode", status)
    if error.problems:
        body["errors"] = [
            {"path": each.path, "code": each.code, "message": each.message}
            for each in error.problems
        ]
    return Response(
        json.dumps(body), status, headers=headers_of(error), media_type="application/json"
    )


def _public_body(error: AppError) -> tuple[int, dict[str, Any]]:
    """Return the status and the contract's part of the body."""
    match error:
        case Refused():
            body: dict[str, Any] = {"message": error.message, **error.also}
            return error.answer, body | ({"error": error.error} if error.error else {})
        case NoApiKey() | UnknownApiKey() | UnknownGrant():
            return error.status, {"message": MESSAGES[type(error)]}
        case ChannelNotFound():
            return _status(error.status, MESSAGES[ChannelNotFound])
        case TooManyRequests():
            return error.status, {"message": TOO_MANY}
        case PlanLimit():
            return error.status, {
                "message": error.message,
                "url": f"{settings().console_url}/billing",
            }
        case InvalidInput() if error.problems:
            return _status(400, [rule_of(problem) for problem in error.problems])
        case InvalidInput() | Unreadable():
            return _status(400, error.message)
        case NoSuchRoute():
            return _status(error.answer, error.message)
        case Unexpected():
            return error.status, {"message": UNEXPECTED, "incident": error.incident}
        case _:
            return _status(error.status, error.message)


def _status(status: int, message: str | list[str]) -> tuple[int, dict[str, Any]]:
    return status, {"message": message, "error": phrase_of(status)}
