"""Refusals with the public API's own text: existing clients read `msg` or `message` from their bodies."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from shared.core.errors import AppError, FieldProblem


class Refused(AppError):
    """A refusal with its own status. Clients read `msg` or `message`, so the body has both.

    `also` are additional fields of the body; `error` is the name of the kind of refusal, if the contract has one.
    """

    code = "refused"

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error: str | None = None,
        also: Mapping[str, Any] | None = None,
        problems: tuple[FieldProblem, ...] = (),
    ) -> None:
        super().__init__(message, problems=problems)
        self.answer = status
        self.error = error
        self.also = dict(also or {})


def bad_request(message: str, *problems: FieldProblem) -> Refused:
    """Report a bad request."""
    return Refused(
        HTTPStatus.BAD_REQUEST, message, error=HTTPStatus.BAD_REQUEST.phrase, problems=problems
    )


def not_found(message: str) -> Refused:
    """Report that the object does not exist in this organization."""
    return Refused(HTTPStatus.NOT_FOUND, message, error=HTTPStatus.NOT_FOUND.phrase)


def post_refused(provider: str, channel_name: str, problem: FieldProblem) -> Refused:
    """Explain why a channel's platform would refuse a post."""
    also = {"provider": provider, "name": channel_name}
    return Refused(HTTPStatus.BAD_REQUEST, problem.message, also=also, problems=(problem,))
