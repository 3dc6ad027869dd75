"""a member who is limited to customers finds their notifications by the index alone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b7d40e92c1f6"
down_revision: str | None = "d81b5e3fa470"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME, _TABLE = "ix_notifications_shown", "notifications"
_COLUMNS = ["organization_id", "created_at", "id"]
_WHERE = sa.text("deleted_at is null")


def upgrade() -> None:
    op.drop_index(_NAME, table_name=_TABLE)
    op.create_index(
        _NAME,
        _TABLE,
        _COLUMNS,
        postgresql_include=["customer_id"],
        postgresql_where=_WHERE,
    )


def downgrade() -> None:
    op.drop_index(_NAME, table_name=_TABLE)
    op.create_index(_NAME, _TABLE, _COLUMNS, postgresql_where=_WHERE)
