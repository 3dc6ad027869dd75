"""when copies of a picture that are still missing are requested once more."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e7b31f60a9d4"
down_revision: str | None = "c94e7a15d20b"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("media", sa.Column("variants_due_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("media", "variants_due_at")
