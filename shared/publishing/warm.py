"""How a quiet system's publisher is warm when a post is due: a message a minute ahead has it started and connected.

It goes the way of every message, so it needs no right of its own and behaves the same on a laptop. It costs one invocation
of some milliseconds; a snapshot of the function (SnapStart) would cost four dollars a month and still leave the
connection to be opened. Lambda keeps an idle environment for minutes, without a promise of how many, so the message
that finds it gone merely costs the usual start.
"""

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from shared.aws.queues import Message
from shared.core.errors import AppError
from shared.db.session import read_only
from shared.db.statement import NoParams, Statement, sql

AHEAD = timedelta(minutes=1)
_BODY: Mapping[str, Any] = {"warm": True}
# Minutes for which this process has sent one: many posts due together need one warm environment, not one each.
_sent: deque[datetime] = deque(maxlen=64)


class Warmed(NamedTuple):
    one: int


_WARM = Statement("warm", sql("select 1 as one"), params=NoParams, row=Warmed)
"""Return at once; what matters is that the connection is open then."""


def warm_ahead(due_at: datetime, *, wait_seconds: float) -> list[Message]:
    """Return the message that warms the publisher before `due_at`; none where it is too late or one is on its way."""
    minute = due_at.replace(second=0, microsecond=0)
    wait = wait_seconds - AHEAD.total_seconds()
    if wait < 0 or minute in _sent:
        return []
    _sent.append(minute)
    return [Message(_BODY, delay_seconds=math.ceil(wait))]


def is_warming(body: Mapping[str, Any]) -> bool:
    """Return whether a message only warms."""
    return body == _BODY


def warm() -> None:
    """Open the connection that the next post will use. Without a database there is nothing to warm, and nothing failed."""
    with suppress(AppError, SQLAlchemyError), read_only() as session:
        _WARM.one(session)
