"""announcements of the server's operators, and an index of finished attempts, which operators list and count."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b3f6c8d20e97"
down_revision: str | None = "a7e2d9c41b63"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "color",
            sa.Enum(
                "info",
                "warning",
                "error",
                name="announcement_color",
                native_enum=False,
                create_constraint=True,
            ),
            nullable=False,
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_announcements_created_by", "announcements", ["created_by"])
    op.create_index(
        "ix_attempts_finished_at",
        "attempts",
        ["finished_at", "id"],
        postgresql_where=sa.text("finished_at is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_finished_at", table_name="attempts")
    op.drop_table("announcements")
