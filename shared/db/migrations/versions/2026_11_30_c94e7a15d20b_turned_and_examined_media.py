"""turned and examined media."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c94e7a15d20b"
down_revision: str | None = "d2a97c53e6b8"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Files that are there stay unexamined: their metadata and orientation are looked at before they go out again.
    for column in ("turned", "examined"):
        op.add_column(
            "media",
            sa.Column(column, sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
    op.create_index(
        "ix_media_unexamined",
        "media",
        ["updated_at"],
        postgresql_where=sa.text("not examined and state = 'ready' and deleted_at is null"),
    )


def downgrade() -> None:
    op.drop_index("ix_media_unexamined", table_name="media")
    op.drop_column("media", "examined")
    op.drop_column("media", "turned")
