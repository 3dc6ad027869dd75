"""Renders the refusals of routes for third-party apps: the protocol's in its format, the others as everywhere.

The protocol's own routes (`protocol_router`) answer `{"error", "error_description"}` whatever is wrong with a request
(RFC 6749 section 5.2, RFC 7591 section 3.2.2, RFC 8628 section 3.5). Every other body is problem details that also carry
`msg`, which existing clients read, and `error`, for failures that no route can word itself.
"""

import json
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from shared.access.policy import Rule
from shared.apps.errors import OAuthRefused
from shared.core.errors import AppError, NotFound, TooManyRequests
from shared.core.phrases import phrase_of
from shared.core.sentences import field_at, sentence
from shared.web.errors import PROBLEM_JSON, headers_of, problem_response
from shared.web.routing import PROBLEM_SCHEMA, Route, Router

_CHALLENGE = {"www-authenticate": 'Basic realm="roost"'}
_LATER: Mapping[int, str] = {429: "slow_down", 500: "server_error", 503: "temporarily_unavailable"}


class OAuthProblem(BaseModel):
    """A refusal in the protocol's format."""

    error: str = Field(examples=["invalid_grant"])
    error_description: str | None = None


def oauth_response(error: AppError) -> Response:
    """Render a refusal of this function."""
    if isinstance(error, OAuthRefused):
        return _as_protocol(error)
    response = problem_response(error)
    body = json.loads(bytes(response.body))
    body |= {"msg": body["detail"], "error": _name(response.status_code)}
    headers = headers_of(error)
    return Response(
        json.dumps(body), response.status_code, headers=headers, media_type=PROBLEM_JSON
    )


class ProtocolRoute(Route):
    """A route of the protocol, whose refusals all have the protocol's names."""

    leaves_unknown_fields = True  # RFC 6749 3.2, RFC 7591 2: unrecognized parameters are ignored

    invalid: str = "invalid_request"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route, so that its own refusals, its rule's and its body's have the same format."""
        handle = super().get_route_handler()

        async def response(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _as_protocol(self._of_body(error))
            except TooManyRequests as error:
                refused = OAuthRefused(_LATER[429], error.message, answer=error.status)
                answer = _as_protocol(refused)
                answer.headers.update(headers_of(error))
                return answer
            except NotFound as error:
                return _as_protocol(OAuthRefused(self.invalid, error.message, answer=error.status))

        return response

    @staticmethod
    def documented(method: str, rule: Rule) -> dict[int | str, dict[str, Any]]:
        """Describe each status that the route may refuse with."""
        del method, rule
        return {
            status: {
                "description": phrase_of(status),
                "model": OAuthProblem,
                "content": {PROBLEM_JSON: {"schema": {"$ref": PROBLEM_SCHEMA}}},
            }
            for status in (400, 401, 404, 413, 422, 429, 500, 503)
        }

    def _of_body(self, error: RequestValidationError) -> OAuthRefused:
        found = error.errors()[0]
        _, *path = found["loc"]
        if found["type"] == "json_invalid" or not path:
            return OAuthRefused(self.invalid, "The body is not a JSON object. Send one.")
        model = self.body_field.field_info.annotation if self.body_field else None
        message = (
            f"{'.'.join(str(part) for part in path)}: {sentence(found, field_at(model, path))}"
        )
        return OAuthRefused(
            "invalid_redirect_uri" if "redirect_uris" in path else self.invalid, message
        )


class RegistrationRoute(ProtocolRoute):
    """The route with which apps register themselves; invalid metadata has its own error name."""

    invalid = "invalid_client_metadata"


def protocol_router(*, tags: list[str], route_class: type[ProtocolRoute] = ProtocolRoute) -> Router:
    """Make a router whose routes refuse in the protocol's format."""
    return Router(tags=tags, route_class=route_class)


def _as_protocol(error: OAuthRefused) -> Response:
    body = {"error": error.error}
    if error.description:
        body["error_description"] = error.description
    headers = _CHALLENGE if error.answer == HTTPStatus.UNAUTHORIZED else {}
    return Response(json.dumps(body), error.answer, headers=headers, media_type="application/json")


def _name(status: int) -> str:
    return _LATER.get(status, "invalid_request")
