"""guesses of passwords are counted per network, device and session, and followed by growing pauses."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b9d4f0a27c61"
down_revision: str | None = "e7a4c2f9b013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "password_guesses",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_password_guesses")),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_password_guesses_last_at", "password_guesses", ["last_at"])


def downgrade() -> None:
    op.drop_table("password_guesses")
