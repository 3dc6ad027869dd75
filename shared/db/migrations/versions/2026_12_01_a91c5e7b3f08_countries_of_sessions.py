"""sessions know the country of their last use, where a proxy says it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "a91c5e7b3f08"
down_revision: str | None = "c8e5d2a7f914"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("country", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "country")
