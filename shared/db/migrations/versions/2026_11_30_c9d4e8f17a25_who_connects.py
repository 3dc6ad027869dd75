"""the session, key or grant with which connecting a channel began.

States from before have none and end: whoever was connecting starts again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c9d4e8f17a25"
down_revision: str | None = "b7d1e5a2c948"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_REFERS_TO = {
    "session_id": "sessions",
    "impersonated_by": "users",
    "api_key_id": "api_keys",
    "grant_id": "oauth_grants",
}


def upgrade() -> None:
    for column, table in _REFERS_TO.items():
        op.add_column("oauth_states", sa.Column(column, sa.Uuid(), nullable=True))
        op.create_foreign_key(
            f"fk_oauth_states_{column}",
            "oauth_states",
            table,
            [column],
            ["id"],
            ondelete="CASCADE",
        )


def downgrade() -> None:
    for column in _REFERS_TO:
        op.drop_column("oauth_states", column)
