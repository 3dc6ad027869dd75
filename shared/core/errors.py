"""Which failures the application anticipates, and what each means to the caller.

A feature subclasses these with a sentence as the name (`SlotTaken`). `shared/web/errors.py` turns them into RFC 9457
problem details; nothing else renders them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One refused field.

    `path` is dotted, from the body's root, with list indexes: `posts.0.value.1.content`. `code` is stable and
    machine-readable (`too_long`); `message` is a sentence that names the remedy.
    """

    path: str
    code: str
    message: str


class AppError(Exception):
    """A failure the caller can act on. `code` is stable, `status` is HTTP, the message is for the member."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(self, message: str, *, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class Unreadable(AppError):
    """The body is not JSON, or not the shape of any request."""

    status, code = 400, "unreadable"


class InvalidInput(AppError):
    """A field was refused, a platform's limits included. `problems` names each one."""

    status, code = 422, "invalid_input"


class Unauthenticated(AppError):
    """Nobody is signed in, or the credentials have expired."""

    status, code = 401, "unauthenticated"


class PlanLimit(AppError):
    """The plan does not allow it, or its allowance is used up. Raised by nothing until limits are counted."""

    status, code = 402, "plan_limit"


class Forbidden(AppError):
    """The member's role does not allow it."""

    status, code = 403, "forbidden"


class NotFound(AppError):
    """It does not exist in this organization."""

    status, code = 404, "not_found"


class Conflict(AppError):
    """The thing has changed, or is in a state that does not allow this."""

    status, code = 409, "conflict"


class TooManyRequests(AppError):
    """A rate limit is used up. `retry_after_seconds` says when it opens again."""

    status, code = 429, "too_many_requests"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AppError):
    """A dependency does not answer; the same request may succeed later."""

    status, code = 503, "unavailable"
