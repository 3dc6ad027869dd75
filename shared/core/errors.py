"""The errors that the application anticipates.

A feature subclasses these with a sentence as the name (`SlotTaken`). `shared/web/errors.py` turns them into RFC 9457
problem details; nothing else renders them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One refused field.

    `path` is dotted, from the body's root, with list indexes: `posts.0.value.1.content`. `code` is stable and
    machine-readable (`too_long`); `message` is a sentence that says what to do.
    """

    path: str
    code: str
    message: str


class AppError(Exception):
    """An error that the caller can act on. `code` is stable, `status` is HTTP's, and the message is for the member.

    `details` are further members of the problem details, by their names on the wire.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(self, message: str, *, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.details: Mapping[str, Any] = {}


class Unreadable(AppError):
    """The body is not JSON, or not a request."""

    status, code = 400, "unreadable"


class InvalidInput(AppError):
    """A field was refused, for example by a platform's limit. `problems` lists each one."""

    status, code = 422, "invalid_input"


class Unauthenticated(AppError):
    """Nobody is signed in, or the credentials have expired."""

    status, code = 401, "unauthenticated"


class PlanLimit(AppError):
    """The organization's plan does not include it, or what it includes is used up."""

    status, code = 402, "plan_limit"


class Forbidden(AppError):
    """The member's role does not allow it."""

    status, code = 403, "forbidden"


class NotFound(AppError):
    """It does not exist in this organization."""

    status, code = 404, "not_found"


class Conflict(AppError):
    """The object has changed, or its state does not allow this."""

    status, code = 409, "conflict"


class TooManyRequests(AppError):
    """A rate limit was reached. The caller can try again after `retry_after_seconds`."""

    status, code = 429, "too_many_requests"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AppError):
    """A dependency does not answer; the same request may succeed later."""

    status, code = 503, "unavailable"
