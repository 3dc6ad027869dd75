"""bounded lists: posts by state, and notifications, by an index that begins with the organization.

The indexes are built inside the migration's transaction, so writes to these tables wait for them: a few seconds for a
million rows, within the 15 seconds that a migration may wait for a table.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8d21c4b7a9e3"
down_revision: str | None = "a41f0c93d7e2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_posts_state",
        "posts",
        ["organization_id", "state", "publish_at", "id"],
        postgresql_where=sa.text("position = 0 and deleted_at is null"),
    )
    op.create_index(
        "ix_notifications_shown",
        "notifications",
        ["organization_id", "created_at", "id"],
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.drop_index("ix_notifications_organization_id_created_at", table_name="notifications")


def downgrade() -> None:
    op.create_index(
        "ix_notifications_organization_id_created_at",
        "notifications",
        ["organization_id", "created_at"],
    )
    op.drop_index("ix_notifications_shown", table_name="notifications")
    op.drop_index("ix_posts_state", table_name="posts")
