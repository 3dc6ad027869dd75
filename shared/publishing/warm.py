"""Warms a quiet system's publisher before a post is due: a message one minute ahead starts it and opens its connection.

It is a message like all others, so it needs no additional permission and works on a laptop too. It costs one invocation of some
milliseconds; a snapshot of the function (SnapStart) would cost four dollars a month and would not open the connection. Lambda
keeps an idle environment for an unspecified number of minutes; if it is already gone, the message only causes the usual start.
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
# The minutes for which this process has sent one: many posts that are due together need only one warm environment.
_sent: deque[datetime] = deque(maxlen=64)


class Warmed(NamedTuple):
    one: int


_WARM = Statement("warm", sql("select 1 as one"), params=NoParams, row=Warmed)
"""A statement that returns immediately; its purpose is to open the connection."""


def warm_ahead(due_at: datetime, *, wait_seconds: float) -> list[Message]:
    """Return the message that warms the publisher before `due_at`; none if it is too late or was already sent."""
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
    """Open the connection for the next post. An unavailable database is not an error here."""
    with suppress(AppError, SQLAlchemyError), read_only() as session:
        _WARM.one(session)
