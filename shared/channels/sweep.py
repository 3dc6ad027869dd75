"""The sweep of channels: deletes unfinished connections, ended pauses and expired reports."""

from shared.db.statement import sql
from shared.db.sweep import Deletion

_EXPIRED_OAUTH_STATES = Deletion(
    "expired_oauth_states",
    table=sql("oauth_states"),
    lapsed=sql("expires_at <= now()"),
)
_OLD_PAUSES = Deletion(
    "old_pauses",
    table=sql("provider_pauses"),
    lapsed=sql("until <= now() - interval '1 day'"),
)
_EXPIRED_REPORTS = Deletion(
    "expired_reports",
    table=sql("channel_reports"),
    lapsed=sql("expires_at <= now()"),
)


def delete_expired_oauth_states() -> int:
    """Delete connections that were not finished in time."""
    return _EXPIRED_OAUTH_STATES.in_pages()


def delete_old_pauses() -> int:
    """Delete pauses of platforms a day after they ended."""
    return _OLD_PAUSES.in_pages()


def delete_expired_reports() -> int:
    """Delete expired numbers of platforms."""
    return _EXPIRED_REPORTS.in_pages()
