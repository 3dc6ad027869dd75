"""What is deleted of channels: logins at platforms that nobody finished, and pauses that are over."""

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


def delete_expired_oauth_states() -> int:
    """Delete logins at platforms that were not finished in time."""
    return _EXPIRED_OAUTH_STATES.in_pages()


def delete_old_pauses() -> int:
    """Delete pauses of platforms a day after they ended."""
    return _OLD_PAUSES.in_pages()
