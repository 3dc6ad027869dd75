"""The sweep of accounts: deletes old emailed codes and old sessions."""

from shared.db.statement import sql
from shared.db.sweep import Deletion

_OLD_MAILED_CODES = Deletion(
    "old_mailed_codes",
    table=sql("mailed_codes"),
    lapsed=sql("expires_at <= now() - interval '7 days'"),
)
_OLD_SESSIONS = Deletion(
    "old_sessions",
    table=sql("sessions"),
    lapsed=sql("expires_at <= now() - interval '30 days'"),
)


def delete_old_mailed_codes() -> int:
    """Delete emailed codes a week after they expired."""
    return _OLD_MAILED_CODES.in_pages()


def delete_old_sessions() -> int:
    """Delete sessions 30 days after they expired."""
    return _OLD_SESSIONS.in_pages()
