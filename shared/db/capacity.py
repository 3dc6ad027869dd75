"""How close is the database to its connection limit? The limit depends on its capacity, so only the database knows it."""

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
    """Return the share of the accepted connections that are open, in percent. It reads no table."""
    return _CONNECTIONS.one(session).percent


def measure_connections() -> None:
    """Write that share as a metric, which an alarm watches."""
    with read_only() as session:
        gauge_connections(connections_percent(session))
