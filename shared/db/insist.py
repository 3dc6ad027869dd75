"""How a write that must not be lost survives a database outage: it is retried until the caller's deadline."""

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from shared.core.log import log
from shared.db.session import Clashed, CommitUnknown

T = TypeVar("T")

# A broken connection is replaced at once; a failover takes half a minute, so the pauses grow, and stay short.
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)


def insist(
    write: Callable[[], T],
    *,
    deadline: float | None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> T:
    """Run `write`, and retry it while the database is unavailable and the next try would begin before `deadline`.

    `deadline` is a value of `now`; without one, `write` is repeated once, at once. `write` opens its own transaction, and
    written twice must be written once, because a COMMIT that broke may have worked.

    Raises:
        Exception: what the last try met; at once where the database did answer.
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
    raise AssertionError("count() ends never")


def _is_away(error: DBAPIError) -> bool:
    """Return whether the same write may succeed later: no connection, a broken one, or a server that is starting or full."""
    return error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
