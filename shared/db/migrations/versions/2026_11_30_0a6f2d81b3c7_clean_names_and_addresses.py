"""names, texts and addresses that were stored before they were cleaned; what apps registered before had a ceiling.

The rules are those of `shared/core/cleaning.py`, so that a stored row and a new one look alike.
"""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from alembic import op

from shared.core.cleaning import clean_text, one_line, web_address

revision: str = "0a6f2d81b3c7"
down_revision: str | None = "f3a86c1d42b7"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Which rows to look at; what becomes of them, the rules say.
_HIDDEN = r"{column} ~ '[\u0001-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\u202a-\u202e\u2066-\u2069\ufeff\ufffe]'"
_HIDDEN_OR_BREAK = rf"{_HIDDEN} or {{column}} ~ '[\u0009-\u000d\u0085\u2028\u2029]'"
_NO_ADDRESS = rf"{{column}} !~* '^https?://' or {_HIDDEN_OR_BREAK} or {{column}} ~ ' ' or length({{column}}) > 2000"

NAMES = {
    "api_keys": ["name"],
    "channels": ["name", "username"],
    "customers": ["name"],
    "media": ["name", "original_name"],
    "notifications": ["title"],
    "oauth_apps": ["name"],
    "organizations": ["name"],
    "tags": ["name"],
    "users": ["name", "last_name"],
    "webhooks": ["name"],
}
TEXTS = {
    "notifications": ["content"],
    "oauth_apps": ["description"],
    "organizations": ["description"],
    "users": ["bio"],
    "webhook_deliveries": ["error", "response_text"],
}
ADDRESSES = {
    "attempts": ["release_url"],
    "channels": ["picture_url"],
    "notifications": ["link"],
    "oauth_apps": ["picture_url"],
    "posts": ["release_url"],
    "users": ["picture_url"],
}
# Of two names that become the same, the second gets the beginning of its id.
_UNIQUE = {
    "customers": "select 1 from customers where organization_id = :owner and name = :value",
    "tags": "select 1 from tags where organization_id = :owner and name = :value and deleted_at is null",
}


def upgrade() -> None:
    for table, columns in NAMES.items():
        for column in columns:
            _clean(table, column, _HIDDEN_OR_BREAK, lambda value: one_line(value) or "?")
    for table, columns in TEXTS.items():
        for column in columns:
            _clean(table, column, _HIDDEN, lambda value: clean_text(value, max_length=len(value)))
    for table, columns in ADDRESSES.items():
        for column in columns:
            _clean(table, column, _NO_ADDRESS, web_address)
    # Which scopes they registered was not kept: no more than members have consented to. The sweep deletes those that
    # nobody ever consented to.
    op.execute("""
        update oauth_apps set scopes = consented.scopes from (
            select app_id, array_agg(distinct scope order by scope) as scopes
            from oauth_grants cross join lateral unnest(oauth_grants.scopes) scope group by app_id
        ) consented
        where oauth_apps.id = consented.app_id and oauth_apps.organization_id is null and oauth_apps.scopes is null
    """)


def downgrade() -> None:
    """Leave what was cleaned."""


def _clean(table: str, column: str, suspect: str, rule: Callable[[str], str | None]) -> None:
    connection = op.get_bind()
    owner = "organization_id" if table in _UNIQUE else "id"
    found = connection.execute(
        sa.text(
            f"select id, {owner} as owner, {column} as value from {table} "  # noqa: S608  from constants
            f"where {column} is not null and ({suspect.format(column=column)})"
        )
    ).all()
    for row in found:
        value = rule(row.value)
        if table in _UNIQUE and value != row.value:
            taken = connection.execute(
                sa.text(_UNIQUE[table]), {"owner": row.owner, "value": value}
            ).one_or_none()
            value = f"{value} {str(row.id)[:8]}" if taken else value
        connection.execute(
            sa.text(f"update {table} set {column} = :value where id = :id"),  # noqa: S608  from constants
            {"value": value, "id": row.id},
        )
