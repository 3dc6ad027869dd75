"""Measures how close the database is to its connection limit, which depends on its capacity."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.core.metrics import gauge_connections
from shared.db.session import read_only
from shared.db.statement import NoParams, Statement, sql


class Share(NamedTuple):
    percent: float


_CONNECTIONS = Statement(
    "connections_percent",
    sql("""
        select cast(100.0 * count(*) / current_setting('max_connections')::int as float8) as percent
        from pg_stat_activity where backend_type = 'client backend'
    """),
    params=NoParams,
    row=Share,
)
"""Return the share of the accepted connections that are open."""


def connections_percent(session: Session) -> float:
    """Return the open connections in percent of the limit. Reads no table."""
    return _CONNECTIONS.one(session).percent


def measure_connections() -> None:
    """Write this percentage as a metric with an alarm."""
    with read_only() as session:
        gauge_connections(connections_percent(session))
