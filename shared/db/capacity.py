"""How close is the database to its connection limit? The limit depends on its capacity, so only the database knows it."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.core.metrics import gauge_connections
from shared.db.session import read_only

_CONNECTIONS = text(
    "SELECT 100.0 * count(*) / current_setting('max_connections')::int FROM pg_stat_activity"
    " WHERE backend_type = 'client backend'"
)


def connections_percent(session: Session) -> float:
    """Return the share of the accepted connections that are open, in percent. It reads no table."""
    return float(session.execute(_CONNECTIONS).scalar_one())


def measure_connections() -> None:
    """Write that share as a metric, which an alarm watches."""
    with read_only() as session:
        gauge_connections(connections_percent(session))
