"""Closes connections at the end of each invocation if the database may pause.

Lambda freezes a process with its connection open, and Aurora pauses only without connections. Otherwise connections stay
open from one invocation to the next, because opening one takes longer than most requests.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from shared.core.config import settings
from shared.db.session import close_connections

Answer = TypeVar("Answer")


def closes_connections(handler: Callable[[Any, Any], Answer]) -> Callable[[Any, Any], Answer]:
    """Wrap a Lambda handler so that it closes its connections if the database may pause."""

    @functools.wraps(handler, assigned=("__doc__", "__module__", "__name__"), updated=())
    def closing(event: Any, context: Any) -> Answer:
        try:
            return handler(event, context)
        finally:
            if settings().database_may_sleep:
                close_connections()

    return closing
