"""media that move or are damaged, and an index that counts what is stored."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5e0f6b1d9a37"
down_revision: str | None = "5b0c7e1f2a64"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "media", sa.Column("moves", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    # Of the GIFs that are there nobody knows: as before, none is converted.
    op.execute("update media set moves = true where content_type = 'image/gif'")
    op.add_column("media", sa.Column("damage", sa.Text(), nullable=True))
    op.create_index(
        "ix_media_stored_bytes",
        "media",
        ["organization_id"],
        postgresql_include=["size_bytes", "deleted_at"],
        postgresql_where=sa.text("state <> 'rejected'"),
    )


def downgrade() -> None:
    op.drop_index("ix_media_stored_bytes", table_name="media")
    op.drop_column("media", "damage")
    op.drop_column("media", "moves")
