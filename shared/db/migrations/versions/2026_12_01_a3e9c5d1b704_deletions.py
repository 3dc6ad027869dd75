"""deleted accounts and organizations wait to be erased; what a person made is found by index."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "a3e9c5d1b704"
down_revision: str | None = "c4a9d7e21b36"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MADE_BY = (("posts", "created_by"), ("media", "uploaded_by"), ("revisions", "actor_id"))


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "account",
                "organization",
                name="deletion_kind",
                native_enum=False,
                create_constraint=True,
            ),
            nullable=False,
        ),
        sa.Column("with_account", sa.Uuid(), nullable=True),
        sa.Column("return_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reminder_hash", sa.LargeBinary(), nullable=True),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("erase_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erasing_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_deletions")),
        sa.UniqueConstraint("return_hash", name=op.f("uq_deletions_return_hash")),
        sa.UniqueConstraint("reminder_hash", name=op.f("uq_deletions_reminder_hash")),
    )
    op.create_index("ix_deletions_erase_at", "deletions", ["erase_at"])
    op.create_index("ix_deletions_with_account", "deletions", ["with_account"])
    for table, column in _MADE_BY:
        op.create_index(
            f"ix_{table}_{column}",
            table,
            [column],
            postgresql_where=sa.text(f"{column} is not null"),
        )


def downgrade() -> None:
    for table, column in _MADE_BY:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
    op.drop_table("deletions")
