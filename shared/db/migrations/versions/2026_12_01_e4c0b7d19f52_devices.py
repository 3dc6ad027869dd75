"""the browsers from which users have signed in."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e4c0b7d19f52"
down_revision: str | None = "b1f0a3c5d7e9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("first_used_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("remembered_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_devices_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
    )
    op.create_index(
        "uq_devices_user_id_token_hash", "devices", ["user_id", "token_hash"], unique=True
    )
    op.create_index("ix_devices_last_used_at", "devices", ["last_used_at"])


def downgrade() -> None:
    op.drop_table("devices")
