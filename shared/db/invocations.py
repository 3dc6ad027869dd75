"""When connections close on a deployment whose database may sleep: at the end of each invocation.

Lambda freezes a process with its connection open, and Aurora pauses only when nobody is connected. Elsewhere connections
stay open from one invocation to the next, since opening one takes longer than most requests.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from shared.core.config import settings
from shared.db.session import close_connections

Answer = TypeVar("Answer")


def closes_connections(handler: Callable[[Any, Any], Answer]) -> Callable[[Any, Any], Answer]:
    """Wrap a Lambda handler so that nothing stays connected after it where the database may sleep."""

    @functools.wraps(handler, assigned=("__doc__", "__module__", "__name__"), updated=())
    def closing(event: Any, context: Any) -> Answer:
        try:
            return handler(event, context)
        finally:
            if settings().database_may_sleep:
                close_connections()

    return closing
