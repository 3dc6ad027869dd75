"""The sweep of third-party apps: deletes expired codes, and unused consents and apps."""

from shared.apps.credentials import REGISTERED_PREFIX
from shared.db.statement import Sql, sql
from shared.db.sweep import Deletion

_OLD_OAUTH_CODES = Deletion(
    "old_oauth_codes",
    table=sql("oauth_codes"),
    lapsed=sql("expires_at <= now() - interval '1 day'"),
)
_EXPIRED_DEVICE_CODES = Deletion(
    "expired_device_codes",
    table=sql("device_codes"),
    lapsed=sql("expires_at <= now()"),
)
_REVOKED_GRANTS = Deletion(
    "revoked_grants",
    table=sql("oauth_grants"),
    lapsed=sql("revoked_at <= now() - interval '30 days'"),
)
_UNUSED_GRANTS = Deletion(
    "unused_grants",
    table=sql("oauth_grants"),
    lapsed=sql("coalesce(last_used_at, updated_at) <= now() - interval '120 days'"),
)
_UNUSED_APPS = Deletion(
    "unused_apps",
    table=sql("oauth_apps"),
    lapsed=sql(
        """
        starts_with(client_id, '{prefix}') and coalesce(last_used_at, created_at) <= now() - interval '30 days'
        and not exists (select 1 from oauth_grants g where g.app_id = oauth_apps.id and g.revoked_at is null)
        """,
        prefix=Sql(REGISTERED_PREFIX),
    ),
)


def delete_old_codes() -> int:
    """Delete codes a day after they expired; until then, the reuse of a code is detected."""
    return _OLD_OAUTH_CODES.in_pages()


def delete_expired_device_codes() -> int:
    """Delete device codes that have expired."""
    return _EXPIRED_DEVICE_CODES.in_pages()


def delete_revoked_grants() -> int:
    """Delete consents 30 days after they were revoked."""
    return _REVOKED_GRANTS.in_pages()


def delete_unused_grants() -> int:
    """Delete consents that were not used for 120 days; their tokens ended after 90 (`UNUSED_LIFE`)."""
    return _UNUSED_GRANTS.in_pages()


def delete_unused_apps() -> int:
    """Delete apps that registered themselves and that no member has let in for 30 days."""
    return _UNUSED_APPS.in_pages()
