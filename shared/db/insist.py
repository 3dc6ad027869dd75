"""Retries a write that must not be lost during a database outage, until the caller's deadline."""

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from shared.core.log import log
from shared.db.session import Clashed, CommitUnknown

T = TypeVar("T")

# A broken connection is replaced immediately; a failover takes half a minute, so the pauses grow but stay short.
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)


def insist(
    write: Callable[[], T],
    *,
    deadline: float | None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> T:
    """Run `write`, and retry it while the database is unavailable and the next try starts before `deadline`.

    `deadline` is a value of `now`; without one, `write` is retried once, immediately. `write` opens its own transaction
    and must be idempotent, because a COMMIT whose connection broke may have worked.

    Raises:
        Exception: the last try's error; an error from an available database is raised immediately.
    """
    for tried in itertools.count():
        try:
            return write()
        except (CommitUnknown, Clashed, NoConnectionFree, DBAPIError) as error:
            if isinstance(error, DBAPIError) and not _is_away(error):
                raise
            seconds = PAUSES_SECONDS[min(tried, len(PAUSES_SECONDS) - 1)]
            if tried and (deadline is None or now() + seconds >= deadline):
                raise
            log.warning("database.tried_again", extra={"tries": tried + 1, "reason": repr(error)})
        pause(seconds)
    raise AssertionError("count() never ends")


def _is_away(error: DBAPIError) -> bool:
    """Return whether the same write may succeed later: the connection failed, or the server is starting or full."""
    return error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
